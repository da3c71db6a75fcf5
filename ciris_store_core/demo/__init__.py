"""A demonstration on real input: several processes share work on one store, and one of them is killed.

The graph memory holds the machine's installed Python distributions; the metrics are the host's own. ``run.run_demo``
runs the demo, ``results`` reads the results from the store and checks the counts, ``report`` draws them.
"""
