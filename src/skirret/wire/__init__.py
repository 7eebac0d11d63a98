"""Celery's bytes live here and nowhere else: messages, envelopes, results and exceptions, both ways.

Reading is total: bytes in, a value or ``Malformed(reason)`` out (``results.decode`` raises ``BackendGetMetaError``).
Nothing else of a worker parses what a broker hands it.
"""
