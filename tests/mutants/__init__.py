"""Backends that are broken on purpose: each has one fault, which the test of the clause that it breaks must notice.

``python -m tests.mutants`` plants them all, one after the other, and exits non-zero where one escapes or where a clause
has none.
"""
