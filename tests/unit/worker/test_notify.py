"""The init system hears what it asked to hear, and nothing where it asked for nothing."""

from __future__ import annotations

import os
import socket

import pytest

from skirret.worker.notify import VARIABLES, Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request, tmp_path, monkeypatch):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = str(tmp_path / "notify") if request.param == "path" else f"@skirret-test-{os.getpid()}"
    sock.bind(name.replace("@", "\0", 1))
    sock.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    yield sock
    sock.close()


def test_it_says_each_thing_once_it_is_true(listener):
    told = Notifier()
    told.ready()
    told.status("ready; 0 of 2 slots busy")
    told.status("ready; 0 of 2 slots busy")
    told.feed()
    told.feed()
    told.stopping()
    heard = [listener.recv(1000).decode() for _ in range(4)]
    assert heard == ["READY=1", "STATUS=ready; 0 of 2 slots busy", "WATCHDOG=1", "STOPPING=1"]
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.recv(1000)
    told.close()


def test_what_the_worker_starts_cannot_speak_in_its_place(listener):
    before = {name: os.environ[name] for name in VARIABLES}
    told = Notifier()
    assert not set(VARIABLES) & set(os.environ)
    told.close()  # what begins anew in this very process may
    assert {name: os.environ[name] for name in VARIABLES} == before


def test_a_watchdog_of_another_process_is_not_fed(listener, monkeypatch):
    monkeypatch.setenv("WATCHDOG_PID", "1")
    told = Notifier()
    assert told.interval == 0
    told.close()


def test_an_init_system_that_is_gone_is_no_reason_to_stop(listener):
    told = Notifier()
    listener.close()
    told.ready()
    told.close()


def test_without_an_init_system_nothing_is_said(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    told = Notifier()
    assert not told.wanted
    told.ready()
    told.feed()
