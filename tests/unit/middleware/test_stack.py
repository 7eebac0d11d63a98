"""The stack of hooks: their order, who listens, what a hook may do to others, and what nobody pays for."""

from __future__ import annotations

import asyncio
import gc
import logging
import timeit
import weakref

import pytest

from skirret import Middleware, Skirret, signals
from skirret.errors import Ignore, Reject
from skirret.middleware import HOOKS, Stack
from skirret.middleware.telling import atell, begin, drain, tell


@pytest.fixture(autouse=True)
def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signal has receivers that other tests left."""
    for signal in vars(signals).values():
        if isinstance(signal, signals.Signal):
            monkeypatch.setattr(signal, "_entries", {})


class Noting(Middleware):
    def __init__(self, name, log):
        self.name, self.log = name, log

    def before_run(self, task, request):
        self.log.append(("before", self.name))

    def after_run(self, task, request, state, value):
        self.log.append(("after", self.name))


class Later(Noting):
    async def before_run(self, task, request):
        await asyncio.sleep(0)
        self.log.append(("before", self.name))


def test_hooks_are_called_in_order_and_those_of_an_end_in_reverse():
    stack, log = Stack(), []
    stack.add(Noting("a", log))
    stack.add(Noting("c", log))
    stack.add(Later("b", log), after=Noting)
    tell(stack.before_run, None, None)
    tell(stack.after_run, None, None, "SUCCESS", 1)
    assert log == [("before", n) for n in "abc"] + [("after", n) for n in "cba"]


def test_a_member_goes_before_or_after_another_and_out_again():
    stack, log = Stack(), []
    first, second = stack.add(Noting("1", log)), Later("0", log)
    stack.add(second, before=Noting)
    assert list(stack)[1:] == [second, first]
    stack.remove(Later)
    stack.remove(first)
    assert not stack.before_run
    with pytest.raises(ValueError, match="no Later is in the stack"):
        stack.add(first, after=Later)


def test_what_is_no_middleware_is_refused_at_once():
    with pytest.raises(TypeError, match="is no middleware: subclass"):
        Stack().add(object())


def test_a_hook_that_nobody_defines_and_no_signal_hears_is_an_empty_tuple():
    stack = Stack()
    stack.add(Noting("a", []))
    assert stack.heard() == {"before_run", "after_run"}


def test_a_signal_is_heard_from_its_first_receiver_to_its_last():
    stack, seen = Stack(), []

    def receiver(**named):
        seen.append(named)

    other = lambda **_: None  # noqa: E731
    signals.task_success.connect(receiver)
    signals.task_success.connect(other)
    assert stack.heard() == {"succeeded"}
    tell(stack.succeeded, "task", None, 5, 0.1)
    assert [(named["sender"], named["result"], named["runtime"]) for named in seen] == [("task", 5, 0.1)]
    signals.task_success.disconnect(receiver)
    assert stack.heard() == {"succeeded"}
    del other
    gc.collect()
    assert stack.heard() == frozenset()


def test_stacks_that_are_gone_are_not_told_of_receivers():
    stack = Stack()
    known = weakref.ref(stack)
    assert any(observer() == stack._changed for observer in signals._observers)
    del stack
    gc.collect()
    assert known() is None
    assert all(observer() is not None for observer in signals._observers)


def test_an_error_in_a_hook_is_logged_and_hurts_nobody(caplog):
    class Broken(Middleware):
        def before_run(self, task, request):
            raise ZeroDivisionError("oops")

    stack, log = Stack(), []
    stack.add(Broken)
    stack.add(Noting("next", log))
    with caplog.at_level(logging.ERROR, "skirret.middleware"):
        tell(stack.before_run, None, None, veto=True)
    assert log == [("before", "next")]
    assert "the hook Broken.before_run raised ZeroDivisionError('oops')" in caplog.text


@pytest.mark.parametrize("refusal", [Ignore("no"), Reject("no")])
def test_a_veto_counts_only_where_it_is_asked_for(refusal, caplog):
    async def refuse():
        raise refusal

    with pytest.raises(type(refusal)):
        tell((refuse,), veto=True)
    tell((refuse,))
    assert "went" not in caplog.text
    assert "raised" in caplog.text


def test_nothing_overtakes_a_coroutine_that_waits():
    log = []

    async def slow(name):
        await asyncio.sleep(0)
        log.append(("slow", name))

    def quick(name):
        log.append(("quick", name))

    waits = begin((quick, slow, quick), ("a",))
    waits = begin((quick,), ("b",), waits=waits)
    assert log == [("quick", "a")]
    asyncio.run(drain(waits))
    assert log == [("quick", "a"), ("slow", "a"), ("quick", "a"), ("quick", "b")]
    assert not waits


def test_a_coroutine_hook_is_run_to_its_end_beside_a_running_loop_too():
    log = []

    async def slow():
        await asyncio.sleep(0)
        log.append("done")

    async def synchronous_code_inside_a_loop():
        tell((slow,))
        await atell((slow,))

    asyncio.run(synchronous_code_inside_a_loop())
    tell((slow,))
    assert log == ["done"] * 3


def test_the_settings_name_middleware_by_its_path():
    app = Skirret("m", set_as_current=False, middleware=[f"{__name__}:Plain"])
    app.finalize()
    assert [type(member) for member in app.middleware][1:] == [Plain]


class Plain(Middleware):
    pass


def test_hook_points_of_a_run_cost_next_to_nothing_while_nobody_listens():
    """Truth tests of one flag; the bound is far above what they take, and below any call of a function for each."""
    stack = Stack()
    points = "if h.runs: pass\nif h.before_publish: pass\nif h.after_publish: pass"
    seconds = min(timeit.repeat(points, globals={"h": stack}, number=10_000, repeat=20)) / 10_000
    assert seconds < 1e-6
    assert all(getattr(stack, hook) == () for hook in HOOKS)
