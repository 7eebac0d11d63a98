"""Finds the server to talk to and opens lines to it: one server, the master that sentinels name, a cluster's node."""

from __future__ import annotations

import ssl
import threading
from typing import Any

import redis

from skirret import clock
from skirret.stores.redis.address import Address
from skirret.stores.redis.faults import Broken, Refused
from skirret.stores.redis.session import Session

_driver: Any = redis  # its types say less than the truth, such as that a connection by socket is abstract

_CLUSTER_ERRORS = (redis.RedisError, _driver.exceptions.RedisClusterException)


class Nodes:
    """Opens lines to the one server of an address.

    Args:
        address: where it is.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def node_of(self, key: str | bytes | None) -> str:
        """The node that serves a key, as ``host:port``; "" where there is only one."""
        return ""

    def moved(self) -> None:
        """A node said that a key is elsewhere: learn anew who serves what."""

    def open(self, node: str, seconds: float) -> Session:
        """A new line.

        Raises:
            Broken: no connection within `seconds`.
            Refused: the server does not want us.
        """
        host, port = self._address.hosts[0]
        return self._connect(host, port, seconds, node)

    def close(self) -> None:
        """Let go of what was opened to find servers."""

    def _connect(self, host: str, port: int, seconds: float, node: str = "") -> Session:
        address = self._address
        seconds = min(seconds, address.patience)
        options: dict[str, Any] = {
            "db": address.db,
            "username": address.username,
            "password": address.password,
            "socket_timeout": seconds,
            "client_name": address.client_name,
            "driver_info": None,  # two round trips less
            "protocol": 2,
            "retry": None,
        }
        if address.path:
            return Session(greeted(_driver.UnixDomainSocketConnection(path=address.path, **options)), node)
        options |= {"host": host, "port": port, "socket_connect_timeout": seconds}
        for name, value in address.keepalive:
            options[name] = dict(value) if isinstance(value, tuple) else value
        kind = _driver.Connection if address.tls is None else _driver.SSLConnection
        return Session(greeted(kind(**options, **dict(address.tls or ()))), node)


def greeted(connection: Any) -> Any:
    """The connection, connected; with the driver's errors put into ours."""
    try:
        connection.connect()
    except redis.TimeoutError as exc:
        raise Broken(exc, timed_out=True) from exc
    except redis.AuthenticationError as exc:
        text = str(exc)
        raise Refused(text if text.split(" ", 1)[0] in {"NOAUTH", "WRONGPASS"} else f"WRONGPASS {text}") from exc
    except redis.BusyLoadingError as exc:
        raise Refused(f"LOADING {exc}") from exc
    except redis.ConnectionError as exc:
        raise Broken(exc) from exc
    except redis.ResponseError as exc:
        raise Refused(str(exc)) from exc
    except (OSError, ssl.SSLError, redis.RedisError) as exc:
        raise Broken(exc) from exc
    return connection


class SentinelNodes(Nodes):
    """Asks the sentinels who is master, for each line anew: after a failover the answer is another one."""

    def open(self, node: str, seconds: float) -> Session:
        """A line to the present master."""
        end = clock.monotonic() + seconds
        address = self._address
        each = min(max(0.2, min(1.0, seconds / (len(address.hosts) + 1))), address.patience)
        options: dict[str, Any] = {"socket_timeout": each, "socket_connect_timeout": each, "retry": None}
        if address.tls is not None:
            options |= {"ssl": True, **dict(address.tls)}
        options |= dict(address.sentinel_options)
        sentinels = _driver.sentinel.Sentinel(list(address.hosts), sentinel_kwargs=options)
        try:
            host, port = sentinels.discover_master(address.master)
        except redis.RedisError as exc:
            raise Broken(exc) from exc
        finally:
            for one in sentinels.sentinels:
                one.close()
        session = self._connect(host, port, max(0.1, end - clock.monotonic()))
        # A sentinel may name a master that was just made a replica.
        (role,) = session.exchange(b"*1\r\n$4\r\nROLE\r\n", 1, max(0.1, end - clock.monotonic()))
        if isinstance(role, list) and role[0] != b"master":
            session.close()
            raise Refused("READONLY the sentinels name a server that is no master; the failover is still going on")
        return session


class ClusterNodes(Nodes):
    """Knows which node serves which slot, by redis-py's cluster client, and opens lines to each."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._lock = threading.Lock()
        self._client: Any = None

    def node_of(self, key: str | bytes | None) -> str:
        """The node that serves the key's slot; without a key, some node."""
        client = self._known()
        try:
            found = client.get_default_node() if key is None else client.get_node_from_key(key)
        except _CLUSTER_ERRORS as exc:
            raise Refused(f"CLUSTERDOWN {exc}") from exc
        if found is None:
            raise Refused("CLUSTERDOWN no node serves this key")
        return str(found.name)

    def every_node(self) -> list[str]:
        """All masters."""
        return [str(node.name) for node in self._known().get_primaries()]

    def moved(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def open(self, node: str, seconds: float) -> Session:
        host, _, port = node.rpartition(":")
        return self._connect(host, int(port), seconds, node)

    def close(self) -> None:
        self.moved()

    def _known(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._look()
            return self._client

    def _look(self) -> Any:
        address = self._address
        options: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "socket_timeout": address.deadline / 2,
            "socket_connect_timeout": min(address.deadline / 2, address.patience),
            "retry": _driver.retry.Retry(_driver.backoff.NoBackoff(), 0),
        }
        if address.tls is not None:
            options |= {"ssl": True, **dict(address.tls)}
        seeds = [_driver.cluster.ClusterNode(host, port) for host, port in address.hosts]
        try:
            return _driver.cluster.RedisCluster(startup_nodes=seeds, **options)
        except (*_CLUSTER_ERRORS, OSError) as exc:
            raise Broken(exc) from exc


def nodes_of(address: Address) -> Nodes:
    """What opens lines for an address."""
    kinds = {"single": Nodes, "sentinel": SentinelNodes, "cluster": ClusterNodes}
    return kinds[address.kind](address)
