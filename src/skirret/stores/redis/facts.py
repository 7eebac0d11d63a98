"""What a server says of itself, and which of it makes the server unfit to keep tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.stores.redis.faults import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """From ``INFO``. What a server does not tell has the harmless value, and `run_id` is ""."""

    run_id: str = ""
    major: int = 6
    minor: int = 2
    software: str = "Redis"
    role: str = "master"
    policy: str = "noeviction"
    memory_limit: int = 0
    has_aof: bool = False
    has_snapshots: bool = False


def read_facts(text: Any, cluster: str = "") -> Facts:
    """Facts from the answer to ``INFO``.

    Args:
        text: its bytes, or a refusal.
        cluster: the answer to ``CLUSTER NODES``: a cluster is named after all of its masters.
    """
    lines = {} if isinstance(text, Refused) else dict(_pairs(text.decode("utf-8", "replace")))
    major, _, rest = lines.get("redis_version", "6.2").partition(".")
    run_id = lines.get("run_id", "")
    if cluster:
        run_id = "+".join(sorted(line.split()[0] for line in cluster.splitlines() if "master" in line.split()[2]))
    return Facts(
        run_id=run_id,
        major=int(major) if major.isdigit() else 6,
        minor=int(rest.split(".")[0] or 0) if rest.split(".")[0].isdigit() else 0,
        software="Valkey" if lines.get("server_name") == "valkey" else "Redis",
        role=lines.get("role", "master"),
        policy=lines.get("maxmemory_policy", "noeviction"),
        memory_limit=int(lines.get("maxmemory", "0") or 0),
        has_aof=lines.get("aof_enabled") == "1",
        has_snapshots=lines.get("rdb_last_save_time", "0") != "0",
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    found = [line.partition(":") for line in text.splitlines()]
    return [(name, value) for name, sep, value in found if sep]


def check(facts: Facts, where: object) -> list[str]:
    """Warnings about a server that is to keep tasks.

    Raises:
        ImproperlyConfigured: tasks would get lost there.
    """
    if (facts.major, facts.minor) < (6, 2):
        raise ImproperlyConfigured(
            f"the {where} is version {facts.major}.{facts.minor}, and Skirret needs Redis 6.2 or later, or Valkey. "
            "Upgrade the server."
        )
    if facts.policy.startswith("allkeys-"):
        raise ImproperlyConfigured(
            f"the {where} has maxmemory-policy {facts.policy}: a full memory makes it delete tasks without a word. "
            "Set `maxmemory-policy noeviction` there, or give tasks a server of their own."
        )
    if facts.role != "master":
        raise ImproperlyConfigured(
            f"the {where} is a replica, which takes no tasks. Name the master, or let sentinels find it: sentinel://"
        )
    warnings = []
    if facts.policy.startswith("volatile-"):
        warnings.append(
            f"the {where} has maxmemory-policy {facts.policy}: a full memory makes it delete results before their "
            "time. Set `maxmemory-policy noeviction` to keep them."
        )
    if not facts.has_aof:
        warnings.append(
            f"the {where} keeps no append-only file, so tasks that were accepted are lost if it crashes. Set "
            "`appendonly yes` there."
        )
    return warnings
