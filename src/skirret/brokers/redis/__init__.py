"""The broker on Redis and Valkey: kombu's ready lists, with held work, leases and delays of our own beside them."""

from __future__ import annotations

from skirret.brokers.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
