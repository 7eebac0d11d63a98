"""A worker in figures and words: the replies to ``stats``, ``active_queues`` and ``report``, in Celery's shapes."""

from __future__ import annotations

import os
import platform
import resource
from collections import Counter
from typing import Any

import skirret
from skirret import clock
from skirret.brokers.base import Queue
from skirret.brokers.exchanges import Exchange
from skirret.settings.listing import has_effect
from skirret.url import mask, parse
from skirret.worker.remote.node import Node

_USAGE = (
    *("utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "oublock"),
    *("msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw"),
)


def stats(node: Node) -> dict[str, Any]:
    """The reply to ``stats``."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    held = sum(child.held() for child in node.children) + sum(1 for _ in node.supervisor.dispatcher.pending)
    scaled = {"autoscaler": _autoscaler(node)} if node.supervisor.scaler.most else {}
    return {
        "total": dict(node.supervisor.dispatcher.durations.counts),
        "pid": os.getpid(),
        "clock": str(node.lamport.value),
        "uptime": int(clock.monotonic() - node.began),
        "pool": _pool(node),
        "broker": _broker(node),
        "prefetch_count": held,
        "rusage": {name: getattr(used, f"ru_{name}") for name in _USAGE},
        **scaled,
    }


def _autoscaler(node: Node) -> dict[str, int]:
    """Its bounds, how many slots there are, and for how many there is work; Flower draws a panel of it."""
    scaler = node.supervisor.scaler
    return {"max": scaler.most, "min": scaler.fewest, "current": scaler.pool.size, "qty": scaler.load}


def _pool(node: Node) -> dict[str, Any]:
    conf = node.conf
    most = conf.worker_max_tasks_per_child
    return {
        "implementation": f"skirret.worker.pool:{node.kind}",
        "max-concurrency": node.supervisor.pool.size,
        "processes": [child.pid for child in node.children if child.pid],
        "max-tasks-per-child": most or "N/A",
        "put-guarded-by-semaphore": False,
        "timeouts": [conf.task_soft_time_limit or 0, conf.task_time_limit or 0],
        "writes": _writes(node),
    }


def _writes(node: Node) -> dict[str, Any]:
    """How tasks were shared out among the children that live now; each has one line, down which they go."""
    handed = [child.handed for child in node.children]
    total = sum(handed)

    def share(number: float) -> str:
        return f"{number / total if total else 0:.2f}"

    return {
        "total": total,
        "avg": share(total / max(1, len(handed))),
        "all": ", ".join(map(share, handed)),
        "raw": ", ".join(map(str, handed)),
        "strategy": "fair",
        "inqueues": {"total": len(handed), "active": sum(1 for child in node.children if child.buffered)},
    }


def _broker(node: Node) -> dict[str, Any]:
    """The broker as kombu tells a connection, without its password; None for settings that have no effect."""
    url = parse(node.manifest.broker_url)
    conf = node.conf

    def effective(key: str) -> Any:
        return conf[key] if has_effect(key) else None

    return {
        "hostname": url.host,
        "userid": url.username,
        "virtual_host": url.path.lstrip("/"),
        "port": url.port,
        "insist": False,
        "ssl": bool(conf.broker_use_ssl),
        "transport": url.scheme,
        "connect_timeout": conf.broker_connection_timeout,
        "transport_options": {},
        "login_method": effective("broker_login_method"),
        "uri_prefix": None,
        "heartbeat": effective("broker_heartbeat"),
        "failover_strategy": effective("broker_failover_strategy"),
        "alternates": [str(other) for other in url.others],
        "credential_provider": None,
    }


def queue_told(queue: Queue) -> dict[str, Any]:
    """One queue with the fields that kombu tells."""
    own = next((way for way in queue.ways if way.exchange.name == queue.exchange), None)
    exchange = own.exchange if own else Exchange(queue.exchange or queue.name, queue.exchange_type)
    further = [way for way in queue.ways if way is not own]
    return {
        "name": queue.name,
        "exchange": _exchange_told(exchange),
        "routing_key": queue.routing_key or queue.name,
        "queue_arguments": queue.arguments or None,
        "binding_arguments": (own.arguments or None) if own else None,
        "consumer_arguments": queue.consumer_arguments or None,
        "durable": queue.durable,
        "exclusive": False,
        "auto_delete": queue.auto_delete,
        "no_ack": False,
        "alias": queue.alias or None,
        "bindings": [
            {"exchange": _exchange_told(way.exchange), "routing_key": way.routing_key, "arguments": way.arguments}
            for way in further
        ],
        "no_declare": None,
        "expires": None,
        "message_ttl": None,
        "max_length": None,
        "max_length_bytes": None,
        "max_priority": queue.max_priority,
    }


def _exchange_told(exchange: Exchange) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "type": exchange.type,
        "arguments": exchange.arguments or None,
        "durable": exchange.durable,
        "passive": False,
        "auto_delete": exchange.auto_delete,
        "delivery_mode": None,
        "no_declare": False,
    }


def report(node: Node) -> str:
    """What a bug report needs of this worker, as text; secrets are masked."""
    states = Counter("ready" if child.ready else "starting" for child in node.children)
    lines = [
        f"software -> skirret:{skirret.__version__} py:{platform.python_version()}",
        f"platform -> system:{platform.system()} arch:{platform.machine()} imp:{platform.python_implementation()}",
        f"            kernel version:{platform.release()}",
        f"node     -> {node.name} pid:{os.getpid()} pool:{node.kind} children:{dict(states)}",
        f"settings -> transport:{parse(node.manifest.broker_url).scheme} results:{mask(node.manifest.backend_url)}",
        "",
        node.conf.humanize(with_defaults=False),
    ]
    return "\n".join(lines) + "\n"
