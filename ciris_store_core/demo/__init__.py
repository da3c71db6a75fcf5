"""A demonstration on real input: several processes share work on one store, and one of them is killed.

The graph memory is the machine's installed Python distributions, the metrics are the host's own. ``run.run_demo``
runs it, ``results`` reads from the store what came of it and checks the counts, ``report`` draws that.
"""
