"""Celery on a quorum queue of RabbitMQ; otherwise as in `benchmarks.peers.celery`."""

from __future__ import annotations

from benchmarks.peers import celery

app = celery.app
app.conf.task_default_queue_type = "quorum"


class Adapter(celery.Adapter):
    """Its prefork pool."""

    module = __name__
