"""delay and apply_async: what is checked, what is sent, what comes back."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

import pytest

from skirret.errors import AlwaysEagerIgnored, EncodeError
from skirret.results import AsyncResult
from skirret.wire import envelope as wire_envelope
from tests.unit.app.conftest import only, sent, waiting


@pytest.fixture
def add(app):
    @app.task
    def add(x, y, *, scale=1):
        return (x + y) * scale

    return add


def test_delay_sends_the_arguments_and_gives_a_handle_of_the_new_id(app, add):
    result = add.delay(1, y=2)
    message = only(app)
    assert isinstance(result, AsyncResult)
    assert (message.task, message.id) == (add.name, result.id)
    assert (list(message.args), message.kwargs) == ([1], {"y": 2})
    assert (message.root_id, message.parent_id, message.correlation_id) == (result.id, None, result.id)
    assert message.reply_to == app.thread_oid
    assert (message.argsrepr, message.kwargsrepr) == ("(1,)", "{'y': 2}")


def test_a_direct_call_runs_the_function_here_and_sends_nothing(app, add):
    assert add(1, 2, scale=3) == 9
    assert sent(app) == []


@pytest.mark.parametrize(
    "args, kwargs",
    [((1,), {}), ((1, 2, 3), {}), ((), {"x": 1}), ((1, 2), {"x": 3}), ((1, 2), {"z": 3}), ((), {})],
)
def test_arguments_that_do_not_fit_are_refused_at_the_call_with_the_signature(app, add, args, kwargs):
    with pytest.raises(TypeError, match=r"takes \(x, y, \*, scale=1\)"):
        add.delay(*args, **kwargs)
    assert sent(app) == []


@pytest.mark.parametrize(
    "args, kwargs, fits",
    [
        ((1, 2), {}, True), ((1,), {"b": 2}, True), ((), {"a": 1, "b": 2}, True), ((1, 2, 3), {}, True),
        ((1, 2), {"c": 3}, True), ((), {"a": 1, "c": 3, "b": 2}, True), ((1, 2, 3, 4), {}, False),
        ((1,), {}, False), ((1,), {"c": 3}, False), ((1, 2), {"a": 3}, False), ((1, 2), {"d": 3}, False),
    ],
)  # fmt: skip
def test_the_check_agrees_with_python_for_plain_parameters(app, args, kwargs, fits):
    def plain(a, b, c=0):
        return a, b, c

    task = app.task(plain)
    try:
        plain(*args, **kwargs)
        python_says = True
    except TypeError:
        python_says = False
    assert python_says is fits
    if fits:
        task.check_arguments(args, kwargs)
    else:
        with pytest.raises(TypeError):
            task.check_arguments(args, kwargs)


def test_a_bound_task_does_not_count_itself_among_the_arguments(app):
    @app.task(bind=True)
    def bound(self, x):
        return self.name, x

    bound.delay(1)
    with pytest.raises(TypeError):
        bound.delay(1, 2)
    assert bound(5) == (bound.name, 5)


def test_checking_calls_no_code_of_the_arguments_and_typing_false_leaves_it_to_the_worker(app):
    @app.task(typing=False)
    def untyped(x):
        return x

    untyped.delay(1, 2, 3)
    assert list(only(app).args) == [1, 2, 3]


def test_an_app_without_strict_typing_checks_nothing(make_app):
    app = make_app(strict_typing=False)

    @app.task
    def one(x):
        return x

    one.delay()
    assert len(sent(app)) == 1


@pytest.mark.parametrize("args", ["text", {"a": 1}, {1, 2}, 5])
def test_args_that_are_no_sequence_are_refused(app, add, args):
    with pytest.raises(TypeError, match="args must be a list or tuple"):
        add.apply_async(args)


def test_kwargs_that_are_no_mapping_are_refused(app, add):
    with pytest.raises(TypeError, match="kwargs must be a mapping"):
        add.apply_async((1, 2), [3])


def test_an_argument_that_cannot_be_serialised_is_refused_and_nothing_is_sent(app, add):
    with pytest.raises(EncodeError):
        add.delay(object(), 2)
    assert sent(app) == []


def test_a_misspelt_option_is_refused_with_the_right_name(app, add):
    with pytest.raises(TypeError, match="'coutdown'; did you mean 'countdown'"):
        add.apply_async((1, 2), coutdown=5)


def test_countdown_is_that_many_seconds_from_now_and_waits_in_the_broker(app, add):
    before = datetime.now(UTC)
    add.apply_async((1, 2), countdown=60)
    eta = only(app).eta
    assert timedelta(seconds=60) <= eta - before <= timedelta(seconds=65)
    (delayed,) = app.broker.delayed("celery")
    assert delayed.due == pytest.approx(eta.timestamp(), abs=0.001)
    assert app.broker.size("celery").ready == 0


def test_a_naive_eta_is_system_local_time(app, add, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        add.apply_async((1, 2), eta=datetime(2031, 7, 1, 12, 0))
        assert only(app).eta.astimezone(UTC) == datetime(2031, 7, 1, 16, 0, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_aware_eta_is_that_moment(app, add):
    moment = datetime(2031, 7, 1, 12, 0, tzinfo=UTC)
    add.apply_async((1, 2), eta=moment)
    assert only(app).eta == moment


@pytest.mark.parametrize("expires", [300, 300.0, timedelta(seconds=300)])
def test_expires_in_seconds_counts_from_now(app, add, expires):
    before = datetime.now(UTC)
    add.apply_async((1, 2), expires=expires)
    assert timedelta(seconds=300) <= only(app).expires - before <= timedelta(seconds=305)


@pytest.mark.parametrize("given", [datetime(2031, 1, 1, tzinfo=UTC), "2031-01-01T00:00:00+00:00"])
def test_expires_as_a_moment_is_kept(app, add, given):
    add.apply_async((1, 2), expires=given)
    assert only(app).expires == datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "options", [{"countdown": "soon"}, {"countdown": 1e300}, {"eta": "soon"}, {"expires": "never"}]
)
def test_moments_that_mean_nothing_are_refused(app, add, options):
    with pytest.raises(ValueError, match="must be"):
        add.apply_async((1, 2), **options)


def test_the_options_of_a_call_arrive_in_its_message(app, add):
    add.apply_async(
        (1, 2), task_id="my-id", priority=7, headers={"tenant": "t1"}, shadow="shown", ignore_result=True,
        time_limit=30, soft_time_limit=20, reply_to="me", group_id="g", group_index=3, root_id="r", parent_id="p",
        link=add.s(3), link_error=[add.s(4), add.s(5)], retries=2, argsrepr="hidden",
    )  # fmt: skip
    message = only(app)
    assert (message.id, message.priority, message.shadow, message.ignore_result) == ("my-id", 7, "shown", True)
    assert message.headers["tenant"] == "t1"
    assert tuple(message.timelimit) == (30, 20)
    assert (message.reply_to, message.group, message.group_index) == ("me", "g", 3)
    assert (message.root_id, message.parent_id, message.retries, message.argsrepr) == ("r", "p", 2, "hidden")
    assert [s["args"] for s in message.callbacks] == [[3]]
    assert [s["args"] for s in message.errbacks] == [[4], [5]]


def test_stamps_travel_with_the_names_that_are_listed(app, add):
    add.apply_async((1, 2), stamped_headers=["monitoring_id"], monitoring_id="m1")
    message = only(app)
    assert message.stamped_headers == ["monitoring_id"]
    assert message.stamps == {"monitoring_id": "m1"}  # as given, which is what Celery writes too


def test_properties_of_amqp_and_of_the_callers_own_travel_with_the_message(app, add):
    add.apply_async((1, 2), message_id="mm", app_id="aa", type="ty", wibble=3, stamped_headers=["st"], st="v")
    add.delay(1, 2)
    with_some, with_none = (wire_envelope.decode(one.raw).envelope.properties for one in waiting(app))
    assert with_some == {"message_id": "mm", "app_id": "aa", "type": "ty", "wibble": 3}
    assert with_none == {}


def test_a_property_that_cannot_be_written_is_refused_at_the_call(app, add):
    with pytest.raises(EncodeError):
        add.apply_async((1, 2), wibble=object())
    assert sent(app) == []


@pytest.mark.parametrize("said_by", ["task", "call", "setting"])
def test_get_of_a_task_that_ignores_its_result_gives_none_at_once_as_in_celery(app, said_by):
    app.conf.task_ignore_result = said_by == "setting"
    task = app.task(name="quiet", ignore_result=True if said_by == "task" else None)(lambda: 1)
    options = {"ignore_result": True} if said_by == "call" else {}
    for result in (task.apply_async(**options), app.send_task("quiet", **options)):
        assert result.ignored
        assert result.get() is None
    if said_by != "setting":
        assert not task.apply_async(ignore_result=False).ignored


@pytest.mark.parametrize("priority", [-1, 256, "high", True, 2.5])
def test_a_priority_that_is_no_priority_is_refused(app, add, priority):
    with pytest.raises(ValueError, match="priority"):
        add.apply_async((1, 2), priority=priority)


@pytest.mark.parametrize("compression", ["gzip", "bzip2"])
def test_serializer_and_compression_of_the_call_are_used(make_app, compression):
    app = make_app(accept_content=["json", "pickle"])

    @app.task
    def keep(value):
        return value

    keep.apply_async(({1, 2},), serializer="pickle", compression=compression)
    assert only(app).args[0] == {1, 2}


def test_attributes_of_the_task_are_options_that_the_call_may_overrule(app):
    @app.task(queue="slow", priority=3, expires=100, ignore_result=True, time_limit=9)
    def slow():
        pass

    slow.delay()
    message = only(app, "slow")
    assert (message.priority, message.ignore_result, message.timelimit[0]) == (3, True, 9)
    assert message.expires is not None
    slow.apply_async(queue="fast", priority=5, ignore_result=False)
    assert (only(app, "fast").priority, only(app, "fast").ignore_result) == (5, False)


def test_an_attribute_that_is_set_later_counts_from_then_on(app, add):
    add.delay(1, 2)
    add.priority = 4
    add.queue = "other"
    add.delay(1, 2)
    assert only(app, "other").priority == 4


def test_a_setting_that_changes_counts_from_then_on(app, add):
    add.delay(1, 2)
    app.conf.task_default_priority = 6
    app.conf.task_default_queue = "second"
    add.delay(3, 4)
    assert only(app, "second").priority == 6


def test_limits_of_the_settings_do_not_travel_because_workers_know_them(app, add):
    app.conf.task_time_limit = 50
    add.delay(1, 2)
    assert tuple(only(app).timelimit) == (None, None)
    assert add.time_limit == 50


def test_shadow_name_is_asked_where_a_task_defines_it(app):
    from skirret import Task

    class Shadowing(Task):
        def shadow_name(self, args, kwargs, options):
            return f"{self.name}:{args[0]}"

    @app.task(base=Shadowing)
    def work(x):
        return x

    work.delay(5)
    assert only(app).shadow == f"{work.name}:5"


def test_result_cls_makes_the_handle(app, add):
    class Mine(AsyncResult):
        pass

    assert type(add.apply_async((1, 2), result_cls=Mine)) is Mine


def test_send_task_needs_no_task_and_takes_the_same_options(app):
    result = app.send_task("elsewhere.work", (1,), {"a": 2}, queue="q", countdown=5)
    message = only(app, "q")
    assert (message.task, message.id, list(message.args), message.kwargs) == (
        "elsewhere.work",
        result.id,
        [1],
        {"a": 2},
    )
    assert not app.finalized


def test_send_task_uses_the_attributes_of_a_task_that_is_known_here(app):
    @app.task(name="known", queue="special")
    def known():
        pass

    app.send_task("known")
    assert only(app, "special").task == "known"


def test_send_task_is_not_eager_and_says_so(app):
    app.conf.task_always_eager = True
    with pytest.warns(AlwaysEagerIgnored):
        app.send_task("elsewhere.work")
    assert len(sent(app)) == 1


def test_send_many_sends_signatures_in_one_publish(app, add, monkeypatch):
    batches = []
    publish = app.broker.publish
    monkeypatch.setattr(app.broker, "publish", lambda pubs: (batches.append(len(pubs)), publish(pubs)))
    results = app.send_many(add.s(i, i) for i in range(2500))
    assert batches == [1000, 1000, 500]
    assert [r.id for r in results] == [m.task_id for m in app.broker.peek("celery", 3000)]
    assert app.send_many([]) == []


def test_send_many_checks_arguments_and_options_of_each_signature(app, add):
    app.send_many([add.s(1, 2).set(queue="q", priority=2)])
    assert only(app, "q").priority == 2
    with pytest.raises(TypeError):
        app.send_many([add.s(1)])


def test_each_publication_has_a_nonce_of_its_own(app, add):
    first = app.publisher.prepare(add.name, (1, 2), task=add, task_id="same")
    second = app.publisher.prepare(add.name, (1, 2), task=add, task_id="same")
    assert first.nonce
    assert first.nonce != second.nonce
    app.publisher.send([first])
    app.publisher.send([first])
    assert len(waiting(app)) == 1


def test_a_function_without_a_signature_is_not_checked(app):
    task = app.task(functools.partial(max, 3), name="builtin")
    task.delay(1)
    assert only(app).task == "builtin"


async def test_adelay_and_aapply_async_send_like_their_sisters(app, add):
    result = await add.adelay(1, 2)
    assert only(app).id == result.id
    await add.aapply_async((1, 2), queue="q", priority=1)
    assert only(app, "q").priority == 1
    with pytest.raises(TypeError):
        await add.adelay(1)
