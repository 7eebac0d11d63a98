"""Results as messages to who sent the task: Celery's ``rpc://``, on the broker's own RabbitMQ server."""

from skirret.backends.rpc.backend import RpcBackend

__all__ = ["RpcBackend"]
