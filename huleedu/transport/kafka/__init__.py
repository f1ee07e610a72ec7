"""Kafka: the only place that knows the client library.

Its errors become ours here (``deadlines``), and it is never waited for without a limit.
"""
