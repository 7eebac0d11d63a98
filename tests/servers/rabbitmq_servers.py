"""Real RabbitMQ servers for tests: each on loopback, in its own directory, with its own names, ended by its pid.

A server's Erlang shell reads what we write: an expression is evaluated inside the server within milliseconds, where
`rabbitmqctl` takes seconds. And where the tests die, the shell's end of input ends the server.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from tests.servers.rabbitmq_programs import EPMD, SERVER, Programs
from tests.servers.redis_servers import free_port

SETTINGS = {
    "vm_memory_high_watermark.absolute": "512MB",
    "disk_free_limit.absolute": "50MB",
    "raft.wal_max_size_bytes": "64000000",  # its default keeps up to 512 MB of quorum queues in memory
    "cluster_name": "tests",  # else each new connection has it ask for its host's name, up to 5 s where nobody knows it
    "ssl_options.verify": "verify_none",
    "ssl_options.fail_if_no_peer_cert": "false",
}

ARGUMENTS = "+sbwt none -rabbit dead_letter_worker_publisher_confirm_timeout 5000"
"""With the milliseconds after which it repeats what it forwarded from a delay queue to a queue that lost its leader.

RabbitMQ 3.10 forgets such messages until then, and takes three minutes where nothing is said.
"""


class RabbitNames:
    """The process by which nodes of a machine find each other (epmd), and the secret by which they trust each other.

    Args:
        programs: where it is installed.
        directory: of its own.
    """

    def __init__(self, programs: Programs, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.home = directory
        cookie = directory / ".erlang.cookie"  # or each of several nodes that begin together would make its own
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
        self.port = free_port()
        words = [*programs.words(EPMD, directory), "-port", str(self.port), "-address", "127.0.0.1"]
        self.process = subprocess.Popen(words, start_new_session=True)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(10.0)


class RabbitServer:
    """One node, which answers after some six seconds.

    Args:
        programs: where it is installed.
        directory: of its own.
        settings: lines of its rabbitmq.conf.
        names: by which it is found by other nodes; its own if absent.
        name: of the node, before its ``@localhost``.
        schedulers: threads that do its work.
        waits: until it answers.
    """

    def __init__(
        self,
        programs: Programs,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        *,
        names: RabbitNames | None = None,
        name: str = "rabbit",
        schedulers: int = 1,
        waits: bool = True,
    ) -> None:
        self.programs = programs
        self.directory = directory
        self.node = f"{name}@localhost"
        self.port, self.tls_port, self._node_port = free_port(), free_port(), free_port()
        self.certificate = directory / "certificate.pem"
        self.process: subprocess.Popen[bytes] | None = None
        self._schedulers = f"{schedulers}:{schedulers}"
        self._is_paused = False
        self._owns_names = names is None
        self._names = names or RabbitNames(programs, directory / "names")
        self._questions = itertools.count(1)
        self._hosts = itertools.count(1)
        directory.mkdir(parents=True, exist_ok=True)
        self._configure(settings or {})
        self.launch()
        if waits:
            self.wait()

    def _configure(self, settings: Mapping[str, str]) -> None:
        key = self.directory / "key.pem"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        words = ["openssl", "req", "-x509", *kind, "-nodes", "-days", "2", *names]
        subprocess.run([*words, "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        places = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": str(self.certificate),
            "ssl_options.certfile": str(self.certificate),
            "ssl_options.keyfile": str(key),
        }
        lines = [f"{name} = {value}\n" for name, value in {**SETTINGS, **places, **settings}.items()]
        (self.directory / "rabbitmq.conf").write_text("".join(lines))
        (self.directory / "enabled_plugins").write_text("[].\n")

    @property
    def url(self) -> str:
        """The address of its first virtual host."""
        return self.url_of("/")

    def url_of(self, host: str, user: str = "guest", password: str = "guest") -> str:
        """The address of a virtual host, for somebody."""
        return f"amqp://{quote(user, '')}:{quote(password, '')}@127.0.0.1:{self.port}/{quote(host, '')}"

    def tls_url_of(self, host: str) -> str:
        """The same, encrypted; its `certificate` vouches for itself and for the name localhost."""
        return f"amqps://guest:guest@localhost:{self.tls_port}/{quote(host, '')}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start without waiting: several can begin together."""
        place = self.directory
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self._names.home),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names.port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": str(place / "data"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_SCHEMA_DIR": str(place / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(place / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(place / "pid"),
            "RABBITMQ_ALLOW_INPUT": "1",  # its shell; and the script becomes the server by exec
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{127,0,0,1}} -start_epmd false +S {self._schedulers} {ARGUMENTS}"
            ),
        }
        words = self.programs.words(SERVER, self._shared())
        with (place / "said").open("ab") as said:
            self.process = subprocess.Popen(
                words, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
            )

    def _shared(self) -> Path:
        """What the program must see: its directory, and that of the names beside or below it."""
        return Path(os.path.commonpath([self.directory, self._names.home]))

    def wait(self, patience: float = 60.0) -> None:
        """Until it answers as AMQP."""
        end = time.monotonic() + patience
        while not self._answers():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no server on port {self.port}: {self._said()[-3000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5.0) as line:
            line.sendall(b"AMQP\x00\x00\x09\x01")
            return line.recv(1) == b"\x01"
        return False

    def _said(self, since: int = 0) -> str:
        with (self.directory / "said").open("rb") as said:
            said.seek(since)
            return said.read().decode(errors="replace")

    def ask(self, expression: str, patience: float = 60.0) -> str:
        """Evaluate an Erlang expression inside the server.

        Returns:
            its value, as Erlang writes it.
        """
        assert self.process is not None
        assert self.process.stdin is not None
        number = next(self._questions)
        since = (self.directory / "said").stat().st_size
        value = f"try {{ok, begin {expression} end}} catch Class:Reason -> {{Class, Reason}} end"
        line = f'io:format("~n<<{number}:~0tp:{number}>>~n", [(fun() -> {value} end)()]).\n'
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        end = time.monotonic() + patience
        while f":{number}>>" not in (said := self._said(since)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no answer to {expression}: {said[-3000:]}")
            time.sleep(0.001)
        answer = said.split(f"<<{number}:", 1)[1].split(f":{number}>>", 1)[0]
        assert answer.startswith("{ok,"), f"{expression}: {answer}"
        return answer[len("{ok,") : -1]

    def add_host(self, name: str | None = None) -> str:
        """Make a virtual host in which the user guest may do everything, in some 20 ms.

        Returns:
            its name.
        """
        name = name or f"host-{next(self._hosts)}"
        self.ask(f'ok = rabbit_vhost:add({binary(name)}, <<"tests">>)')
        self.allow(name)
        return name

    def delete_host(self, name: str) -> None:
        """Delete a virtual host with all that is in it; who is connected is cut off."""
        self.ask(f'ok = rabbit_vhost:delete({binary(name)}, <<"tests">>)')

    @contextlib.contextmanager
    def host(self) -> Iterator[str]:
        """A virtual host for a while."""
        name = self.add_host()
        try:
            yield name
        finally:
            self.delete_host(name)

    def add_user(self, name: str, password: str) -> None:
        """Make a user, who may do nothing yet."""
        self.ask(f'ok = rabbit_auth_backend_internal:add_user({binary(name)}, {binary(password)}, <<"tests">>)')

    def allow(
        self, host: str, user: str = "guest", *, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """Say what somebody may do in a virtual host, each as a pattern of names."""
        words = ", ".join(binary(word) for word in (user, host, configure, write, read, "tests"))
        self.ask(f"ok = rabbit_auth_backend_internal:set_permissions({words})")

    def set_policy(
        self, host: str, pattern: str, definition: Mapping[str, object], *, kind: str = "queues", name: str = "policy"
    ) -> None:
        """Set a policy of the queues, or of the exchanges, whose names fit a pattern."""
        words = ", ".join(binary(word) for word in (host, name, pattern, json.dumps(definition)))
        self.ask(f'ok = rabbit_policy:parse_set({words}, 1, {binary(kind)}, <<"tests">>)')

    def queues(self, host: str) -> set[str]:
        """The names of all queues of a virtual host."""
        told = self.ask(f"[element(4, amqqueue:get_name(Q)) || Q <- rabbit_amqqueue:list({binary(host)})]")
        return set(re.findall(r'<<"([^"]*)">>', told))

    def messages(self, host: str) -> dict[str, int]:
        """What the queues of a virtual host hold, ready or with a consumer; asked of them, for statistics are late."""
        count = (
            "case amqqueue:get_type(Q) of rabbit_quorum_queue ->"
            " {ok, {_, N}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1), N;"
            " _ -> proplists:get_value(messages, rabbit_amqqueue:info(Q, [messages])) end"
        )
        line = f'io_lib:format("~ts=~b ", [element(4, amqqueue:get_name(Q)), {count}])'
        told = self.ask(f"unicode:characters_to_list([{line} || Q <- rabbit_amqqueue:list({binary(host)})])")
        pairs = [pair.rpartition("=") for pair in told.strip('[]"').split()]
        return {name: int(number) for name, _, number in pairs}

    def set_consumer_timeout(self, seconds: float) -> None:
        """How long a delivery may go unacknowledged, until the next start; it is looked for ten times in that time.

        Connections that are open keep what they had.
        """
        for name, value in (("consumer_timeout", seconds * 1000), ("channel_tick_interval", seconds * 100)):
            self.ask(f"application:set_env(rabbit, {name}, {int(value)})")

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        """Raise the alarm of too much memory: whoever publishes is blocked, and told so."""
        alarm = "{resource_limit, memory, node()}"
        self.ask(f"rabbit_alarm:set_alarm({{{alarm}, []}})")
        try:
            yield
        finally:
            self.ask(f"rabbit_alarm:clear_alarm({alarm})")

    def kill(self) -> None:
        """End it without a word.

        RabbitMQ 3.10 writes down a new quorum queue within a second, and after a kill before that the queue is empty,
        also of what was confirmed, or answers nobody (https://github.com/rabbitmq/rabbitmq-server/issues/10070). That
        is not ours to test: unless it is frozen, the list of queues is written first. Messages are not touched.
        """
        if self.process is not None and not self._is_paused:
            self.ask("[ok = dets:sync(Table) || Table <- dets:all()]")
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again on its ports with what its disk has."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Frozen, as a machine that swaps."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        self._is_paused = True
        try:
            yield
        finally:
            self._is_paused = False
            if self.process is not None:  # nobody killed it meanwhile
                self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, and what told its name."""
        self._end(signal.SIGKILL if self._is_paused else signal.SIGTERM)
        if self._owns_names:
            self._names.stop()

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20.0)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process = None


def binary(text: str) -> str:
    """A text as Erlang writes it, whatever is in it."""
    return f"<<{','.join(map(str, text.encode()))}>>"
