"""The settings that both sides share."""

from __future__ import annotations

import os

broker_url = os.environ.get("FLEET_URL")
result_backend = os.environ.get("FLEET_RESULTS") or os.environ.get("FLEET_URL")
accept_content = ["json", "msgpack", "yaml", "pickle"]
result_accept_content = ["json", "msgpack", "yaml", "pickle"]
result_expires = 120
worker_prefetch_multiplier = 1
broker_connection_retry_on_startup = True
result_serializer = os.environ.get("FLEET_SERIALIZER") or "json"
result_compression = os.environ.get("FLEET_COMPRESSION") or None
if "FLEET_RESTARTS" in os.environ:  # what Celery's pool_restart needs
    worker_pool_restarts = True
if "FLEET_QUEUES" in os.environ:  # the type of all queues on RabbitMQ
    task_default_queue_type = task_create_missing_queue_type = os.environ["FLEET_QUEUES"]
    broker_transport_options = {"like_celery": True}  # Celery declares what our worker made, too
    if task_create_missing_queue_type == "classic":
        task_queue_max_priority = 9
if "FLEET_EXCHANGE" in os.environ:  # the type of every queue's exchange
    task_create_missing_queue_exchange_type = os.environ["FLEET_EXCHANGE"]
