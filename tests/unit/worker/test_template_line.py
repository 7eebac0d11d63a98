"""A template process that dies before it has heard a word."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.worker import template_process
from skirret.worker.loop import Loop
from skirret.worker.options import WorkerOptions
from skirret.worker.pool import Heard, Pool
from skirret.worker.template_line import TemplateLine


class StillBorn(subprocess.Popen):
    """A process that is dead, its end of the line closed, before its parent goes on."""

    def __init__(self, command, pass_fds=(), **options):
        super().__init__([sys.executable, "-c", ""], **options)
        self.wait()


@pytest.fixture
def still_born(monkeypatch):
    monkeypatch.setattr(template_process.subprocess, "Popen", StillBorn)


def line(gone=lambda: None) -> TemplateLine:
    unheard = lambda *_: None  # noqa: E731
    return TemplateLine(WorkerOptions(app="x"), "n@h", forked=unheard, exited=unheard, gone=gone, broken=unheard)


def test_at_the_start_its_end_is_a_clear_error(still_born):
    dead = line()
    with pytest.raises(ImproperlyConfigured, match="ended at once"):
        dead.manifest()
    dead.close()


def test_later_its_end_is_heard_like_any_other(still_born):
    gone = []
    loop = Loop()
    dead = line(lambda: (gone.append(1), loop.stop()))
    dead.attach(loop)
    loop.run()
    assert gone == [1]
    assert dead.is_gone
    dead.close()
    loop.close()


def test_a_pool_goes_on_trying_until_one_lives(monkeypatch):
    unheard = lambda *_: None  # noqa: E731
    loop = Loop()
    pool = Pool(loop, WorkerOptions(app="x"), "n@h", Heard(unheard, unheard, unheard, unheard))
    made = []

    def refuse(*_args, **_options):
        made.append(time.monotonic())
        if len(made) < 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        loop.stop()
        return StillBorn([])

    monkeypatch.setattr(template_process.subprocess, "Popen", refuse)
    pool._template.close()
    pool._template.is_gone = True
    loop.call_later(0, pool._fill)
    loop.run()
    assert len(made) >= 3
    pool.close()
    loop.close()
