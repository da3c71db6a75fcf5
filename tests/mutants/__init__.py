"""Mutants: backends with one planted fault each, which the test of the broken clause must catch.

``python -m tests.mutants`` plants all faults and exits non-zero if one escapes, or if a clause has fewer than two.
"""
