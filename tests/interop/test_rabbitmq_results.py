"""Results of rpc:// on one RabbitMQ: a worker and a client of each side, and each client gets what it asked for."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading

import amqp
import pytest

from skirret.errors import RemoteError
from tests.acceptance.processes import running
from tests.interop.fleet import OURS, THEIRS, Fleet, until

pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning")  # of earlier fleets

PAIRS = [(OURS, THEIRS), (THEIRS, OURS), (OURS, OURS)]
"""Who asks and who answers."""


@pytest.fixture(scope="module")
def fleet(rabbitmq, tmp_path_factory):
    with rabbitmq.host() as host:
        with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=host) as line:
            for queue in (OURS, THEIRS):  # as Celery makes them: whoever comes later adopts what is there
                line.channel().queue_declare(queue, durable=True, auto_delete=False)
        fleet = Fleet(rabbitmq, tmp_path_factory.mktemp("fleet"), rabbitmq.url_of(host), "rpc://")
        fleet.host = host
        with fleet.clients(), fleet.our_worker(OURS), fleet.their_worker(THEIRS):
            yield fleet


@pytest.fixture
def line(fleet):
    """A driver's channel."""
    with amqp.Connection(f"127.0.0.1:{fleet.server.port}", virtual_host=fleet.host) as line:
        yield line.channel()


def send(fleet, asks, answers, name, *args, **options):
    return fleet.client(asks).tasks[f"jobs.{name}"].apply_async(args, queue=answers, **options)


@pytest.mark.parametrize("asks, answers", PAIRS)
def test_a_result_comes_to_who_asked(fleet, asks, answers):
    result = send(fleet, asks, answers, "echo", {"a": [1, 2.5, None, "ü"]})
    assert result.get(timeout=20) == {"a": [1, 2.5, None, "ü"]}
    assert result.state == "SUCCESS"


@pytest.mark.parametrize("asks, answers", PAIRS)
def test_a_failure_comes_with_its_class_and_arguments(fleet, asks, answers):
    result = send(fleet, asks, answers, "fail", "key", "missing")
    with pytest.raises(KeyError) as caught:
        result.get(timeout=20)
    assert caught.value.args == ("missing",)
    assert "KeyError" in result.traceback


@pytest.mark.parametrize("asks, answers", PAIRS)
def test_a_retried_task_answers_where_it_was_asked(fleet, asks, answers):
    assert send(fleet, asks, answers, "flaky", 2).get(timeout=20) == 2


def test_the_steps_of_a_chain_answer_who_sent_it(fleet):
    tasks = fleet.theirs.tasks
    add, echo = tasks["jobs.add"], tasks["jobs.echo"]
    chain = add.s(1, 2).set(queue=OURS) | add.s(4).set(queue=OURS) | echo.s().set(queue=OURS)
    result = chain.apply_async()
    assert result.get(timeout=20) == 7
    assert result.parent.get(timeout=20) == 7
    assert result.parent.parent.get(timeout=20) == 3


@pytest.mark.parametrize("asks, answers", PAIRS)
def test_a_set_of_results_is_joined(fleet, asks, answers):
    app = fleet.client(asks)
    results = [send(fleet, asks, answers, "add", n, n) for n in range(50)]
    assert app.ResultSet(results).join_native(timeout=20) == [2 * n for n in range(50)]


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_results_that_came_before_anybody_asked_are_read_in_any_order_and_again(fleet, answers):
    results = [send(fleet, OURS, answers, "add", n, 1) for n in range(20)]
    assert results[-1].get(timeout=20) == 20
    assert [result.get(timeout=20) for result in reversed(results)] == list(range(20, 0, -1))
    again = [fleet.ours.AsyncResult(result.id) for result in results]
    assert [result.get(timeout=5) for result in again] == list(range(1, 21))
    results[0].forget()
    assert fleet.ours.AsyncResult(results[0].id).state == "PENDING"


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_state_and_ready_look_at_the_queue(fleet, answers):
    result = send(fleet, OURS, answers, "add", 1, 1)
    assert until(result.ready)
    assert result.state == "SUCCESS"


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_many_threads_wait_for_results_of_their_own(fleet, answers):
    found = {}

    def ask(n):
        found[n] = [send(fleet, OURS, answers, "add", n, k).get(timeout=20) for k in range(10)]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {n: [n + k for k in range(10)] for n in range(8)}


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_coroutines_await_their_results(fleet, answers):
    async def ask(n):
        result = await fleet.ours.tasks["jobs.add"].aapply_async((n, n), queue=answers)
        return await result.aget(timeout=20)

    async def all_of_them():
        return await asyncio.gather(*(ask(n) for n in range(20)))

    assert asyncio.run(all_of_them()) == [2 * n for n in range(20)]


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_a_callback_is_called_when_the_result_comes(fleet, answers):
    came = threading.Event()
    got = []

    def call(result):
        got.append(result.get(timeout=5))
        came.set()

    send(fleet, OURS, answers, "echo", "x").then(call)
    assert came.wait(20)
    assert got == ["x"]


def test_an_error_whose_class_only_the_worker_has_keeps_its_name(fleet):
    with pytest.raises(Exception, match="no") as caught:
        send(fleet, OURS, THEIRS, "hopeless").get(timeout=20)
    assert isinstance(caught.value, (fleet.jobs.Odd, RemoteError))


def test_a_task_whose_result_is_ignored_answers_nobody(fleet, line):
    before = fleet.count()["hush"]
    result = send(fleet, OURS, OURS, "quiet", "hush")
    assert until(lambda: fleet.count()["hush"] > before)
    assert send(fleet, OURS, OURS, "add", 1, 1).get(timeout=20) == 2
    assert result.state == "PENDING"
    told = line.queue_declare(fleet.ours.backend.reply_to, passive=True)
    assert told.message_count == 0


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_a_result_is_on_the_wire_what_celery_makes_of_it(fleet, line, answers):
    mine = f"tests-{answers}"
    line.queue_declare(mine, durable=True, auto_delete=True, arguments={"x-expires": 60000})
    result = send(fleet, OURS, answers, "add", 2, 2, reply_to=mine)
    message = until(lambda: line.basic_get(mine, no_ack=True))
    properties = message.properties
    assert properties["correlation_id"] == result.id
    assert (properties["content_type"], properties["content_encoding"]) == ("application/json", "utf-8")
    assert properties["delivery_mode"] == 1
    assert (message.delivery_info["exchange"], message.delivery_info["routing_key"]) == ("", mine)
    body = message.body if isinstance(message.body, str) else message.body.decode()
    told = json.loads(body)
    assert {name: told[name] for name in ("status", "result", "traceback", "children", "task_id")} == {
        "status": "SUCCESS", "result": 4, "traceback": None, "children": [], "task_id": result.id,
    }  # fmt: skip


def let_go_on(fleet, result):
    """Let the task `steps` end, once it has told where it is."""
    until(lambda: fleet.lines("step") and fleet.lines("step")[-1][2] == result.id)
    return fleet.ledger.with_name(f"{fleet.ledger.name}.{result.id}").touch


@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_a_state_on_the_way_is_told(fleet, answers):
    result = send(fleet, OURS, answers, "steps", 3)
    end = let_go_on(fleet, result)
    until(lambda: result.state == "PROGRESS")
    assert result.info == {"done": 3}
    end()
    assert result.get(timeout=20) == 3


def test_celery_hears_of_our_states_on_the_way(fleet):
    result = send(fleet, THEIRS, OURS, "steps", 3)
    let_go_on(fleet, result)()
    heard = []
    assert result.get(timeout=20, on_message=heard.append) == 3
    assert [(meta["status"], meta["result"]) for meta in heard] == [("PROGRESS", {"done": 3}), ("SUCCESS", 3)]


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, gevent, ours
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
def ask(n):
    ours.app.tasks["jobs.nap"].apply_async((0.3,), queue=sys.argv[1]).get(timeout=30)
    return ours.app.tasks["jobs.add"].apply_async((n, n), queue=sys.argv[1]).get(timeout=30)
ticking = gevent.spawn(tick)
jobs = [gevent.spawn(ask, n) for n in range(6)]
gevent.joinall(jobs, raise_error=True)
assert [job.value for job in jobs] == [0, 2, 4, 6, 8, 10]
assert len(ticks) > 30, len(ticks)
print("all is well")
"""

FORKS = """
import os, sys, ours
def ask(n):
    return ours.app.tasks["jobs.add"].apply_async((n, n), queue=sys.argv[1])
assert ask(1).get(timeout=30) == 2  # its lines stand when it forks
early = ask(2)
child = os.fork()
assert [ask(n).get(timeout=30) for n in range(5)] == [0, 2, 4, 6, 8]
if child == 0:
    assert ours.app.AsyncResult(early.id).state == "PENDING"
    ours.app.backend.depart()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert early.get(timeout=30) == 4
print("all is well")
"""


@pytest.mark.parametrize("program", [GREENLETS, FORKS], ids=["greenlets", "forks"])
@pytest.mark.parametrize("answers", [OURS, THEIRS])
def test_other_kinds_of_processes_get_their_results(fleet, tmp_path, program, answers):
    (tmp_path / "program.py").write_text(program)
    with running(f"{sys.executable} program.py {answers}", tmp_path, fleet.env) as process:
        assert process.wait(60.0) == 0, process.said()
    assert "all is well" in process.said()


def test_a_task_waits_for_a_task_that_it_sends_and_its_process_leaves_no_queue(rabbitmq, tmp_path):
    with rabbitmq.host() as host:
        fleet = Fleet(rabbitmq, tmp_path, rabbitmq.url_of(host), "rpc://")
        with fleet.clients():
            with fleet.our_worker(f"{OURS},inner", "-c 2"):
                asked = fleet.ours.tasks["jobs.outer"].apply_async((20, "inner"), queue=OURS)
                assert asked.get(timeout=30) == 21
            found = {name for name in rabbitmq.queues(host) if re.fullmatch(r"[0-9a-f-]{36}", name)}
            assert found == {fleet.ours.backend.reply_to}


@pytest.fixture(scope="module", params=[("pickle", None), ("msgpack", None), ("yaml", None), ("json", "gzip")])
def encoded(request, rabbitmq, tmp_path_factory):
    """A fleet whose results are encoded in some way."""
    serializer, compression = request.param
    with rabbitmq.host() as host:
        with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=host) as line:
            for queue in (OURS, THEIRS):
                line.channel().queue_declare(queue, durable=True, auto_delete=False)
        fleet = Fleet(rabbitmq, tmp_path_factory.mktemp("encoded"), rabbitmq.url_of(host), "rpc://")
        fleet.env |= {"FLEET_SERIALIZER": serializer, "FLEET_COMPRESSION": compression or ""}
        with fleet.clients(), fleet.our_worker(OURS, "-c 1"), fleet.their_worker(THEIRS, "-c 1"):
            yield fleet


@pytest.mark.filterwarnings("ignore:The RPCBackend result backend cannot store compressed")  # but it reads them
@pytest.mark.parametrize("asks, answers", PAIRS)
def test_results_are_read_however_they_are_encoded(encoded, asks, answers):
    assert send(encoded, asks, answers, "echo", ["word " * 900, 1.5]).get(timeout=20) == ["word " * 900, 1.5]
    with pytest.raises(ValueError, match="bad"):
        send(encoded, asks, answers, "fail", "value", "bad").get(timeout=20)
