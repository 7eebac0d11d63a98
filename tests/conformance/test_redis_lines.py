"""Lines to Redis of every kind: encrypted, by a socket of the machine, with a password, under a prefix."""

from __future__ import annotations

import itertools
import subprocess
import time

import pytest

from skirret.brokers.base import Queue
from skirret.brokers.open import open_broker
from skirret.brokers.redis import consumer as consumers
from skirret.errors import OperationalError
from skirret.outcome import Ack
from skirret.testing.conformance.material import Later, ids, message, take
from tests.servers.redis_servers import RedisServer, free_port, redis_binary

_queues = itertools.count()


@pytest.fixture
def queue():
    return f"q{next(_queues)}"


@pytest.fixture(autouse=True)
def only_bells(monkeypatch):
    """Workers that do not look by themselves: what is found was rung for."""
    monkeypatch.setattr(consumers, "LOOK_SECONDS", 30.0)
    monkeypatch.setattr(consumers, "TAKE_SECONDS", 30.0)


def use(broker, queue):
    """Publish, wait to be rung, take and settle."""
    consumer = broker.consumer([queue], f"taker-{queue}")
    later = Later(lambda: consumer.take(10, 5.0))
    assert not later.done.wait(0.1)
    broker.publish([message("x", queue)])
    (held,) = later.result()
    assert consumer.settle([Ack(tag=held.tag, successors=[message("next", queue)])]) == [True]
    assert ids(take(consumer, 1)) == ["next"]
    listener = broker.subscribe(["news*"])
    broker.broadcast("news.today", b"x" * 100_000)
    assert listener.receive(5.0) == [("news.today", b"x" * 100_000)]
    listener.close()
    consumer.close()


def test_a_line_may_be_encrypted_and_its_certificate_is_checked(tmp_path, queue, request):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    server = RedisServer(redis_binary(), tmp_path / "tls", *tls, "--tls-auth-clients", "no")
    request.addfinalizer(server.stop)
    broker = open_broker(f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}")
    use(broker, queue)
    broker.close()
    with pytest.raises(OperationalError, match="certificate"):
        open_broker(f"rediss://localhost:{port}/0").publish([message("x", queue)])


def test_a_line_may_be_a_socket_of_the_machine(tmp_path, queue, request):
    server = RedisServer(redis_binary(), tmp_path / "unix", "--unixsocket", str(tmp_path / "r.sock"))
    request.addfinalizer(server.stop)
    broker = open_broker(f"redis+socket://{tmp_path}/r.sock?virtual_host=3")
    use(broker, queue)
    broker.close()
    assert b"db3" in server.ask("INFO", "keyspace")


def test_everything_is_under_the_prefix_that_was_asked_for(tmp_path, queue, request):
    server = RedisServer(redis_binary(), tmp_path / "prefixed")
    request.addfinalizer(server.stop)
    broker = open_broker(server.url, {"global_keyprefix": "mine:"})
    broker.declare([Queue(name=queue, exchange="e", routing_key="k")])
    use(broker, queue)
    broker.publish([message("later", queue, due=time.time() + 60), message("now", queue)])
    found = server.ask("KEYS", "*").decode().split("\r\n")
    names = [name for name in found if name and name[0] not in "*$"]
    assert len(names) > 5
    assert [name for name in names if not name.startswith("mine:")] == []


def test_a_password_is_wanted_and_given(tmp_path, queue, request):
    server = RedisServer(redis_binary(), tmp_path / "locked", "--requirepass", "s3cret@x")
    request.addfinalizer(server.stop)
    broker = open_broker(f"redis://:s3cret%40x@127.0.0.1:{server.port}/0")
    broker.publish([message("x", queue)])
    for login, what in (("", "wants a password"), (":wrong@", "password is wrong")):
        with pytest.raises(OperationalError, match=what) as caught:
            open_broker(f"redis://{login}127.0.0.1:{server.port}/0").publish([message("x", queue)])
        assert "wrong@" not in str(caught.value)
