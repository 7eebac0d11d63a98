"""One line to a server that misbehaves: each call ends in time, and a broken line is closed for good."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from skirret.stores.redis.address import Address
from skirret.stores.redis.faults import Broken, Refused
from skirret.stores.redis.nodes import nodes_of
from skirret.stores.redis.session import Session, pack


class Connection:
    """What redis-py gives, as much of it as a session needs."""

    def __init__(self, sock):
        self._sock = sock

    def disconnect(self):
        if self._sock is not None:
            self._sock.close()


@pytest.fixture
def line():
    ours, theirs = socket.socketpair()
    theirs.settimeout(5.0)
    yield Session(Connection(ours)), theirs
    ours.close()
    theirs.close()


def test_answers_come_in_order_and_refusals_among_them(line):
    session, server = line
    server.sendall(b"+OK\r\n:5\r\n-OOM full\r\n*2\r\n$1\r\na\r\n$-1\r\n")
    ok, five, refused, both = session.exchange(pack(("PING",)) * 4, 4, 1.0)
    assert (ok, five, both) == (b"OK", 5, [b"a", None])
    assert isinstance(refused, Refused)
    assert server.recv(1000) == b"*1\r\n$4\r\nPING\r\n" * 4


@pytest.mark.parametrize("drip", [None, b"+"], ids=["silent", "a byte now and then"])
def test_a_server_that_does_not_come_to_an_end_is_given_up_in_time(line, drip):
    session, server = line
    ended = threading.Event()

    def answer():
        server.sendall(b"$1000\r\n")
        while drip and not ended.wait(0.05):
            try:
                server.sendall(drip)
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    start = time.monotonic()
    with pytest.raises(Broken) as caught:
        session.exchange(pack(("GET", "x")), 1, 0.3)
    assert caught.value.timed_out
    assert 0.25 < time.monotonic() - start < 1.0
    ended.set()
    thread.join()


def test_a_server_that_takes_nothing_is_given_up_in_time(line):
    session, _ = line
    start = time.monotonic()
    with pytest.raises(Broken) as caught:
        session.exchange(b"x" * 50_000_000, 1, 0.3)
    assert caught.value.timed_out
    assert time.monotonic() - start < 1.5


@pytest.mark.parametrize("said", [b"", b"$5\r\nab"], ids=["nothing", "half an answer"])
def test_a_line_that_ends_is_broken_and_stays_so(line, said):
    session, server = line
    server.sendall(said)
    server.close()
    for _ in range(2):
        with pytest.raises(Broken):
            session.exchange(pack(("GET", "x")), 1, 1.0)


def test_bytes_that_are_no_answer_break_the_line(line):
    session, server = line
    server.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(Broken):
        session.exchange(pack(("GET", "x")), 1, 1.0)


def test_what_has_come_is_read_without_waiting(line):
    session, server = line
    assert session.pending() == []
    server.sendall(b"+a\r\n+b\r\n+c")
    assert session.pending() == [b"a", b"b"]
    server.sendall(b"\r\n")
    assert session.pending() == [b"c"]
    server.close()
    with pytest.raises(Broken):
        session.pending()


def test_a_server_that_takes_no_connection_is_given_up_after_the_time_for_connecting():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        host, port = server.getsockname()
        filling = [socket.socket() for _ in range(4)]
        try:
            for one in filling:  # what is not accepted fills the server's queue, and then nothing is answered
                one.setblocking(False)
                one.connect_ex((host, port))
            time.sleep(0.05)
            start = time.monotonic()
            with pytest.raises(Broken) as caught:
                nodes_of(Address(hosts=((host, port),), patience=0.3)).open("", 4.0)
            assert 0.2 < time.monotonic() - start < 2.0
            assert caught.value.timed_out
        finally:
            for one in filling:
                one.close()
