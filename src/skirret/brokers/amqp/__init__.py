"""RabbitMQ as a broker: quorum queues, confirms and delays on the topology that Celery's workers and producers use."""

from skirret.brokers.amqp.broker import AmqpBroker

__all__ = ["AmqpBroker"]
