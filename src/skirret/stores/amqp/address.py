"""What an address and its transport options say about a RabbitMQ server: Celery's forms and names, read once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from skirret.errors import ImproperlyConfigured
from skirret.url import Url

if TYPE_CHECKING:
    import ssl

PORT, TLS_PORT = 5672, 5671
SCHEMES = ("amqp", "amqps", "pyamqp")
TLS_SCHEMES = frozenset({"amqps"})

DEADLINE = 4.0
"""Seconds within which every call is answered or raises: what is promised is 5, a new line included."""

HEARTBEAT = 10.0
"""Seconds between the signs of life of a worker's line: a host that vanished is noticed within 25."""

LOGIN_METHODS = ("PLAIN", "AMQPLAIN", "EXTERNAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where RabbitMQ is and how to get in.

    Args:
        nodes: (host, port) of each node of a cluster; any of them will do.
        vhost: the virtual host.
        username, password: ``guest`` both, unless said.
        login: one of `LOGIN_METHODS`.
        tls: certificate options as sorted pairs, or None for a line in clear.
        deadline: seconds within which a call is answered.
        heartbeat: seconds between signs of life on idle lines, 0 for none; workers use at most `HEARTBEAT`.
        connecting: seconds within which a node must let us in.
        strategy: ``round-robin``, ``shuffle`` or a function that orders the nodes, as for ``broker_failover_strategy``.
    """

    nodes: tuple[tuple[str, int], ...]
    vhost: str = "/"
    username: str = "guest"
    password: str = "guest"  # noqa: S105  what RabbitMQ is installed with
    login: str = "PLAIN"
    tls: tuple[tuple[str, Any], ...] | None = None
    deadline: float = DEADLINE
    heartbeat: float = 120.0
    connecting: float = DEADLINE
    strategy: str | Callable[[list[tuple[str, int]]], Iterable[tuple[str, int]]] = "round-robin"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        where = ", ".join(f"{host}:{port}" for host, port in self.nodes)
        return f"RabbitMQ server at {where}, virtual host {self.vhost!r}"

    def order(self) -> list[tuple[str, int]]:
        """The nodes in the order in which a new line tries them."""
        nodes = list(self.nodes)
        if not isinstance(self.strategy, str):
            ordered = self.strategy(nodes)
            return list(dict.fromkeys(itertools.islice(ordered, len(nodes)))) or nodes
        if self.strategy == "shuffle":
            random.shuffle(nodes)
        return nodes

    def context(self) -> ssl.SSLContext:
        """How lines are encrypted.

        Raises:
            ImproperlyConfigured: a certificate or key cannot be read.
        """
        import ssl  # it takes milliseconds, and most lines need none

        options = dict(self.tls or ())
        found = ssl.create_default_context()
        required = ssl.VerifyMode(options.get("cert_reqs", ssl.CERT_REQUIRED))
        found.check_hostname = required == ssl.CERT_REQUIRED and bool(options.get("check_hostname", True))
        found.verify_mode = required
        try:
            if options.get("ca_certs"):
                found.load_verify_locations(options["ca_certs"])
            if options.get("certfile"):
                found.load_cert_chain(options["certfile"], options.get("keyfile"))
            if options.get("ciphers"):
                found.set_ciphers(options["ciphers"])
        except (OSError, ssl.SSLError) as exc:
            raise ImproperlyConfigured(f"the certificates for the {self} cannot be used: {exc}") from exc
        return found


def address_of(url: Url, options: Mapping[str, Any]) -> Address:
    """Read an address.

    Args:
        url: ``amqp://user:password@host:port/vhost``, ``amqps://``, ``pyamqp://``; several nodes with ``;`` between.
        options: Celery's ``broker_transport_options`` with ``login_method``, ``heartbeat``, ``connect_timeout``,
            ``ssl`` and ``failover_strategy``; those of the query win.

    Raises:
        ImproperlyConfigured: something in it makes no sense.
    """
    given = {**options, **url.options}
    servers = (url, *url.others)
    tls = _tls(url, given)
    port = PORT if tls is None else TLS_PORT
    login = next((one for one in servers if one.username is not None), url)
    method = str(given.get("login_method") or "PLAIN").upper()
    if method not in LOGIN_METHODS:
        raise ImproperlyConfigured(f"{url}: login_method is one of {', '.join(LOGIN_METHODS)}, not {method!r}")
    timeout = given.get("connect_timeout") or given.get("socket_connect_timeout")
    strategy: Any = given.get("failover_strategy") or "round-robin"
    is_known = strategy in {"round-robin", "shuffle"} if isinstance(strategy, str) else _is_callable(strategy)
    if not is_known:
        raise ImproperlyConfigured(
            f"{url}: failover_strategy is 'round-robin', 'shuffle' or a function, not {strategy!r}"
        )
    return Address(
        nodes=tuple((one.host or "localhost", one.port or port) for one in servers),
        vhost=_vhost(servers, given),
        username="guest" if login.username is None else login.username,
        password="guest" if login.password is None else login.password,
        login=method,
        tls=tls,
        heartbeat=_seconds(url, "heartbeat", given.get("heartbeat", 120.0) or 0.0),
        connecting=min(_seconds(url, "connect_timeout", timeout or DEADLINE) or DEADLINE, DEADLINE),
        strategy=strategy,
    )


def _is_callable(value: object) -> bool:
    return callable(value)


def _vhost(servers: tuple[Url, ...], given: Mapping[str, Any]) -> str:
    # As kombu reads it: the path without its first slash, and "/" where nothing is left.
    path = next((one.path for one in servers if one.path not in {"", "/"}), "")
    return unquote(path.removeprefix("/")) or str(given.get("virtual_host") or "/")


def _seconds(url: Url, name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise ImproperlyConfigured(f"{url}: {name}={value!r} is not a number of seconds")
    return seconds


_VERIFY_MODES = {"none": 0, "optional": 1, "required": 2, "cert_none": 0, "cert_optional": 1, "cert_required": 2}
"""``ssl.VerifyMode`` by its names, with the numbers that the standard library fixes."""


def _tls(url: Url, given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...] | None:
    asked = given.get("ssl")
    if url.scheme not in TLS_SCHEMES and asked in (None, False, "", "0", "false", "no", 0):
        return None
    told = {**(asked if isinstance(asked, Mapping) else {}), **{k: v for k, v in given.items() if k.startswith("ssl_")}}
    found = {str(key).removeprefix("ssl_"): value for key, value in told.items()}
    wanted = found.get("cert_reqs", "required")
    if not isinstance(wanted, int):
        mode = _VERIFY_MODES.get(str(wanted).lower())
        if mode is None:
            raise ImproperlyConfigured(f"{url}: cert_reqs is one of required, optional and none, not {wanted!r}")
        wanted = mode
    found["cert_reqs"] = int(wanted)
    return tuple(sorted(found.items()))
