"""A private redis-server on a free loopback port, empty and without persistence, ended by its process id."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import redis

SECONDS_TO_START = 10.0


def free_port() -> int:
    """A port of the loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def executable() -> str | None:
    """Where the server's program is; None if it is not installed."""
    return shutil.which("redis-server")


def answers(port: int) -> bool:
    """Whether a Redis answers there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
    return False


class Server:
    """What the benchmark itself asks of the server.

    Args:
        port: of the loopback.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = redis.Redis.from_url(self.url)
        self.about = {"redis": str(self.client.info("server")["redis_version"])}

    @property
    def env(self) -> dict[str, str]:
        """How clients and workers find it."""
        return {"BENCH_REDIS": self.url, "BENCH_BROKER": self.url}

    def empty(self) -> None:
        """Forget everything."""
        self.client.flushall()

    def purge(self) -> None:
        """Forget what is queued, and cut nobody off."""
        self.empty()

    def used_memory(self) -> int:
        """Bytes that it has in use."""
        return int(self.client.info("memory")["used_memory"])

    def cpu(self) -> float:
        """CPU seconds that it has used."""
        told = self.client.info("cpu")
        return float(told["used_cpu_sys"]) + float(told["used_cpu_user"])

    def commands(self) -> int | None:
        """Commands that it has carried out, those inside scripts too, and those that ask for this number not.

        None where they cannot be counted.
        """
        told = self.client.info("commandstats")
        return sum(int(stats["calls"]) for name, stats in told.items() if name != "cmdstat_info")

    def pings(self, count: int) -> list[float]:
        """Seconds that so many PINGs took, one after another."""
        took = []
        for _ in range(count):
            began = time.perf_counter()
            self.client.ping()
            took.append(time.perf_counter() - began)
        return took


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the block lasts."""
    program = executable()
    if program is None:
        sys.exit("scripts/bench needs redis-server; install it, for example with: apt-get install redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as directory:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", directory], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while not answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{program} did not start on port {port}")
                time.sleep(0.02)
            yield Server(port)
        finally:
            process.terminate()
            process.wait(30)
