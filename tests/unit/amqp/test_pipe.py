"""Bytes go out whole or not in time, come in as they are, and a wait ends when it should."""

from __future__ import annotations

import os
import select
import socket
import threading
import time

import pytest

from skirret.stores.amqp.address import address_of
from skirret.stores.amqp.faults import Broken
from skirret.stores.amqp.pipe import Pipe
from skirret.url import parse

MUCH = bytes(range(256)) * 40_000
"""More than the kernel holds for a socket."""


@pytest.fixture
def ends():
    """A pipe and the socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = server.getsockname()
        pipe = Pipe(address_of(parse(f"amqp://{node[0]}:{node[1]}"), {}), node, 5.0)
        far, _ = server.accept()
    with far:
        yield pipe, far
    pipe.close()


@pytest.fixture(params=["poll", "select"])
def waits(request, monkeypatch):
    """With what it waits: eventlet leaves no poll."""
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.mark.usefixtures("waits")
def test_much_goes_out_whole_to_who_reads_slowly(ends):
    pipe, far = ends
    got = bytearray()

    def read() -> None:
        while len(got) < len(MUCH):
            time.sleep(0.001)
            got.extend(far.recv(300_000))

    reader = threading.Thread(target=read)
    reader.start()
    pipe.send(MUCH, 20.0)
    reader.join(20.0)
    assert bytes(got) == MUCH


@pytest.mark.usefixtures("waits")
def test_who_reads_nothing_is_given_up(ends):
    pipe, _far = ends
    with pytest.raises(Broken, match="took no bytes") as caught:
        pipe.send(MUCH, 0.1)
    assert caught.value.timed_out


@pytest.mark.usefixtures("waits")
def test_what_comes_is_read_and_nothing_is_told_apart_from_the_end(ends):
    pipe, far = ends
    assert pipe.receive(0.0) == b""
    assert pipe.receive(0.01) == b""
    far.sendall(b"abc")
    assert pipe.receive(5.0) == b"abc"
    far.close()
    with pytest.raises(Broken, match="hung up"):
        pipe.receive(5.0)


@pytest.mark.usefixtures("waits")
def test_a_wait_ends_when_somebody_wakes_it(ends):
    pipe, _far = ends
    read, write = os.pipe()
    try:
        threading.Timer(0.05, os.write, (write, b"!")).start()
        begun = time.monotonic()
        assert pipe.receive(20.0, read) == b""
        assert time.monotonic() - begun < 10.0
    finally:
        os.close(read)
        os.close(write)


def test_a_word_waits_for_nobody(ends):
    pipe, far = ends
    pipe.word(b"alive", 1.0)
    assert far.recv(100) == b"alive"

    def send() -> None:
        with pytest.raises(Broken):
            pipe.send(MUCH, 1.0)

    sender = threading.Thread(target=send)
    sender.start()
    while far.recv(10, socket.MSG_PEEK) == b"":
        time.sleep(0.001)
    begun = time.monotonic()
    pipe.word(b"alive", 1.0)
    assert time.monotonic() - begun < 0.5
    sender.join()


def test_shut_ends_a_wait(ends):
    pipe, _far = ends
    threading.Timer(0.05, pipe.shut).start()
    with pytest.raises(Broken, match="hung up"):
        pipe.receive(20.0)


def test_what_was_closed_says_so(ends):
    pipe, _far = ends
    pipe.close()
    with pytest.raises(Broken, match="closed"):
        pipe.receive(1.0)
    with pytest.raises(Broken):
        pipe.send(b"x", 1.0)
