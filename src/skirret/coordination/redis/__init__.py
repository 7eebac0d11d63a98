"""Shared worker state on a Redis or Valkey server."""

from skirret.coordination.redis.coordination import RedisCoordination

__all__ = ["RedisCoordination"]
