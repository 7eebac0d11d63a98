"""Results on a Redis or Valkey server, in Celery's keys and format."""

from skirret.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend"]
