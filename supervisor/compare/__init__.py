"""Which broker is better: estimators, tick race, order probes and their report.

``stats`` and ``race`` are pure (numpy, no clock, no socket); ``probe`` decides what may be sent; ``collect``
asks the instances over loopback; ``report`` turns the answer into a table, JSON, CSV or one HTML file.
"""
