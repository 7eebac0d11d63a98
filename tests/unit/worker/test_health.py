"""The health endpoints answer everybody who asks properly, and nobody else keeps them from it."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.worker import health
from skirret.worker.health import HealthServer, address


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(health, "DEADLINE", 1.0)
    answers = {"/livez": lambda: (200, "text/plain", b"ok\n"), "/bug": lambda: 1 / 0}
    server = HealthServer("0", answers)
    server.start()
    yield server
    server.stop()
    assert not server.is_alive()


def get(server: HealthServer, path: str = "/livez", method: str = "GET") -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        line.request(method, path)
        reply = line.getresponse()
        return reply.status, reply.read()
    finally:
        line.close()


def connect(server: HealthServer, data: bytes = b"") -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    sock.sendall(data)
    return sock


def test_it_answers_what_it_knows_and_refuses_the_rest(server):
    assert get(server) == (200, b"ok\n")
    assert get(server, "/livez?verbose") == (200, b"ok\n")
    assert get(server, method="HEAD") == (200, b"")
    assert get(server, "/")[0] == 404
    assert get(server, "/livez/../../etc/passwd")[0] == 404
    assert get(server, method="POST")[0] == 405


def test_a_bug_in_an_answer_is_an_answer_and_the_server_goes_on(server, caplog):
    assert get(server, "/bug")[0] == 500
    assert get(server)[0] == 200
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    "data", [b"\r\n\r\n", b"GET /livez\r\n\r\n", b"\x16\x03\x01" + b"\0" * 5000, b"GET / " + b"a" * 9000]
)
def test_bytes_that_are_no_request_are_told_so_or_cut_off(server, data):
    with connect(server) as sock:
        try:
            sock.sendall(data)
            reply = sock.recv(1000)
        except ConnectionError:
            reply = b""
        assert reply == b"" or reply.startswith(b"HTTP/1.1 400")
    assert get(server)[0] == 200


def test_a_client_that_sends_a_byte_at_a_time_is_cut_off_by_its_deadline(server):
    with connect(server, b"GET /livez HT") as slow:
        assert slow.recv(100) == b""  # no byte of ours, and the end after about a second
    assert get(server)[0] == 200


def test_clients_that_hold_all_places_keep_nobody_out(server):
    held = [connect(server, b"GET ") for _ in range(3 * health.MAX_CONNECTIONS)]
    try:
        assert get(server) == (200, b"ok\n")
    finally:
        for sock in held:
            sock.close()


def test_many_ask_at_the_same_time(server):
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(get(server)[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 12


@pytest.mark.parametrize(
    "text, found",
    [
        ("9540", ("127.0.0.1", 9540)),
        (":9540", ("127.0.0.1", 9540)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_only_the_own_machine_may_ask_unless_another_address_is_said(text, found):
    assert address(text) == found


@pytest.mark.parametrize("text", ["", "localhost", "host:", "host:x", "host:99999", "::1:80"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="is no address; give HOST:PORT"):
        address(text)


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(ImproperlyConfigured, match="cannot be listened on: Address already in use"):
        HealthServer(str(server.port), {})
