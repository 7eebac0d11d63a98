"""What an address and its transport options say about a Redis server: Celery's forms and names, read once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from skirret.errors import ImproperlyConfigured
from skirret.url import Url

PORT = 6379
SENTINEL_PORT = 26379
DEADLINE = 4.0
"""Seconds within which every call is answered or raises: what is promised is 5, a new line and a look included."""

CLUSTER_SCHEMES = frozenset({"redis+cluster", "rediss+cluster", "valkey+cluster", "valkeys+cluster"})
TLS_SCHEMES = frozenset({"rediss", "valkeys", "rediss+cluster", "valkeys+cluster"})
SOCKET_SCHEMES = frozenset({"redis+socket", "valkey+socket"})
SCHEMES = (
    "redis",
    "rediss",
    "redis+socket",
    "valkey",
    "valkeys",
    "valkey+socket",
    "sentinel",
    *sorted(CLUSTER_SCHEMES),
)

_REQUIREMENTS = {
    "CERT_REQUIRED": "required", "CERT_OPTIONAL": "optional", "CERT_NONE": "none",
    "REQUIRED": "required", "OPTIONAL": "optional", "NONE": "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is and how it is spoken to.

    Args:
        kind: one server, a set of servers watched by sentinels, or a cluster.
        hosts: (host, port) of the server, of each sentinel, or of some nodes of the cluster.
        path: of a Unix socket; "" for TCP.
        db: number of the database.
        username, password: of the server.
        master: the name that the sentinels know the server by.
        sentinel_options: for connections to the sentinels, such as their own password.
        tls: redis-py's ``ssl_*`` arguments, or None for plain TCP.
        prefix: put before every key and channel, Celery's ``global_keyprefix``.
        deadline: seconds for a call.
        patience: seconds for opening a connection, if the call that needs it has as many.
        keepalive: arguments of redis-py for TCP keep-alive.
        client_name: shown in the server's ``CLIENT LIST``.
    """

    kind: Literal["single", "sentinel", "cluster"] = "single"
    hosts: tuple[tuple[str, int], ...] = (("localhost", PORT),)
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    master: str = ""
    sentinel_options: tuple[tuple[str, Any], ...] = ()
    tls: tuple[tuple[str, Any], ...] | None = None
    prefix: str = ""
    deadline: float = DEADLINE
    patience: float = DEADLINE
    keepalive: tuple[tuple[str, Any], ...] = ()
    client_name: str | None = None

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        where = self.path or ", ".join(f"{host}:{port}" for host, port in self.hosts)
        if self.kind == "sentinel":
            return f"Redis master {self.master!r} of the sentinels at {where}"
        return f"Redis {'cluster' if self.kind == 'cluster' else 'server'} at {where}"


def address_of(url: Url, options: Mapping[str, Any]) -> Address:
    """Read an address.

    Args:
        url: ``redis://[user:password@]host:port/db``, ``rediss://``, ``redis+socket:///path?virtual_host=db``,
            ``valkey://``, ``sentinel://host:port;sentinel://host:port/db`` or ``redis+cluster://host:port``.
        options: Celery's ``broker_transport_options`` or ``result_backend_transport_options``; those of the query win.

    Raises:
        ImproperlyConfigured: something in it makes no sense.
    """
    given = {**options, **url.options}
    socket = url.scheme in SOCKET_SCHEMES
    if url.scheme == "sentinel":
        kind: Literal["single", "sentinel", "cluster"] = "sentinel"
    else:
        kind = "cluster" if url.scheme in CLUSTER_SCHEMES or _truth(given.get("cluster")) else "single"
    db = _database(url, given.get("virtual_host", given.get("db", "")) if socket else url.path)
    if kind == "cluster" and db:
        raise ImproperlyConfigured(f"{url}: a Redis Cluster has database 0 only; leave the /{db} out")
    master = str(given.get("master_name") or given.get("service_name") or "")
    if kind == "sentinel" and not master:
        raise ImproperlyConfigured(
            f"{url}: which server do the sentinels watch? Name it: broker_transport_options = "
            "{'master_name': 'mymaster'} (result_backend_transport_options for results)"
        )
    servers = (url, *url.others)
    port = SENTINEL_PORT if kind == "sentinel" else PORT
    login = next((one for one in servers if one.password is not None or one.username), url)
    return Address(
        kind=kind,
        hosts=tuple((one.host or "localhost", one.port or port) for one in servers),
        path=url.path if socket else "",
        db=db,
        username=login.username or given.get("username") or None,
        password=login.password if login.password is not None else given.get("password"),
        master=master,
        sentinel_options=tuple(sorted(dict(given.get("sentinel_kwargs") or {}).items())),
        tls=_tls(url, given),
        prefix=str(given.get("global_keyprefix") or ""),
        deadline=_seconds(url, "socket_timeout", given),
        patience=_seconds(url, "socket_connect_timeout", given),
        keepalive=_keepalive(given),
        client_name=str(given["client_name"]) if given.get("client_name") else None,
    )


def _truth(value: Any) -> bool:
    return value not in (None, False, "", "0", "false", "no", 0)


def _database(url: Url, text: Any) -> int:
    last = url.others[-1].path if url.others and not isinstance(text, int) and not str(text).strip("/") else text
    written = str(last or "").strip("/")
    if not written:
        return 0
    if not written.isdigit():
        raise ImproperlyConfigured(
            f"{url}: the database is a number, such as redis://localhost:6379/0, not {written!r}"
        )
    return int(written)


def _seconds(url: Url, option: str, given: Mapping[str, Any]) -> float:
    value = given.get(option) or DEADLINE
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ImproperlyConfigured(f"{url}: {option}={value!r} is not a positive number of seconds")
    return min(seconds, DEADLINE)  # Celery's users set minutes here, because kombu blocks in BRPOP; nothing here does


def _keepalive(given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    wanted: dict[str, Any] = {"socket_keepalive": _truth(given.get("socket_keepalive", True))}
    if given.get("socket_keepalive_options"):
        wanted["socket_keepalive_options"] = tuple(sorted(dict(given["socket_keepalive_options"]).items()))
    return tuple(sorted(wanted.items()))


_VERIFY_MODES = {0: "CERT_NONE", 1: "CERT_OPTIONAL", 2: "CERT_REQUIRED"}
"""``ssl.VerifyMode`` by its numbers, which the standard library fixes."""


def _tls(url: Url, given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...] | None:
    asked = given.get("ssl")
    if url.scheme not in TLS_SCHEMES and not _truth(asked):
        return None
    found: dict[str, Any] = dict(asked) if isinstance(asked, Mapping) else {}
    found.update({key: value for key, value in given.items() if key.startswith("ssl_")})
    found = {key if key.startswith("ssl_") else f"ssl_{key}": value for key, value in found.items()}
    wanted = found.get("ssl_cert_reqs", "required")
    if isinstance(wanted, int) and wanted in _VERIFY_MODES:  # ssl.CERT_REQUIRED, or the number that it is elsewhere
        wanted = _VERIFY_MODES[wanted]
    named = str(wanted).upper()
    if named not in _REQUIREMENTS:
        raise ImproperlyConfigured(f"{url}: ssl_cert_reqs is one of required, optional and none, not {wanted!r}")
    found["ssl_cert_reqs"] = _REQUIREMENTS[named]
    found.setdefault("ssl_check_hostname", named != "CERT_NONE" and found["ssl_cert_reqs"] == "required")
    found["ssl_check_hostname"] = _truth(found["ssl_check_hostname"])
    return tuple(sorted(found.items()))
