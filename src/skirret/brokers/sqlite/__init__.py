"""The embedded broker: durable messages in one SQLite file, for many processes of one machine, without a server."""

from skirret.brokers.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
