"""Results of rpc:// on RabbitMQ sit the exam as far as messages to one process can; and what only they promise."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
import time

import amqp
import pytest

from skirret import Skirret
from skirret.backends.open import open_backend
from skirret.backends.rpc import queue
from skirret.errors import CapabilityError, ImproperlyConfigured, OperationalError
from skirret.message import Record
from skirret.testing.conformance import BackendExam
from skirret.testing.conformance.material import Later, eventually
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq_servers import binary


@pytest.fixture(scope="module")
def proxy(rabbitmq):
    found = Proxy(rabbitmq.port)
    yield found
    found.close()


@pytest.fixture
def url(proxy, rabbitmq_host):
    return f"amqp://guest:guest@127.0.0.1:{proxy.port}/{rabbitmq_host}"


@pytest.fixture
def make(url):
    """Makes backends; each stands for a process of its own."""
    made = []

    def backend(**options):
        other = {"broker_options": {"heartbeat": 120 - len(made)}}  # so that they share no lines
        made.append(open_backend("rpc://", {"broker_url": url, **other, **options}))
        return made[-1]

    yield backend
    for one in made:
        one.depart()
        one.close()


class TestRpcBackend(BackendExam):
    @pytest.fixture
    def backend(self, make):
        return make()

    @pytest.fixture
    def second_backend(self, backend, make):
        return make()

    @pytest.fixture
    def outage(self, proxy):
        return proxy.down


@pytest.fixture
def channel(rabbitmq, rabbitmq_host):
    """A driver's channel."""
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq_host) as line:
        yield line.channel()


def told(backend, task_id, payload=b"x", state="SUCCESS", **fields):
    return Record(task_id=task_id, state=state, payload=payload, reply_to=backend.reply_to, **fields)


def is_there(rabbitmq, host, name):
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=host) as line:
        try:
            line.channel().queue_declare(name, passive=True)
        except amqp.NotFound:
            return False
        return True


def test_the_queue_is_durable_and_lives_as_long_as_results_do(make, rabbitmq, rabbitmq_host):
    backend = make(expires=3600.0)
    backend.expect()
    name = f"{{resource, {binary(rabbitmq_host)}, queue, {binary(backend.reply_to)}}}"
    found = rabbitmq.ask(
        f"{{ok, Q}} = rabbit_amqqueue:lookup({name}), "
        "{amqqueue:is_durable(Q), amqqueue:is_auto_delete(Q), amqqueue:get_type(Q), "
        "lists:sort(amqqueue:get_arguments(Q))}"
    )
    assert re.sub(r"\s", "", found) == (
        '{true,false,rabbit_classic_queue,[{<<"x-expires">>,signedint,3600000},{<<"x-message-ttl">>,signedint,3600000},'
        '{<<"x-queue-type">>,longstr,<<"classic">>}]}'
    )


def test_results_without_an_end_have_a_queue_without_one(make, rabbitmq, rabbitmq_host):
    backend = make(expires=None)
    backend.expect()
    name = f"{{resource, {binary(rabbitmq_host)}, queue, {binary(backend.reply_to)}}}"
    found = rabbitmq.ask(f"{{ok, Q}} = rabbit_amqqueue:lookup({name}), amqqueue:get_arguments(Q)")
    assert "expires" not in found
    assert "ttl" not in found


def test_a_life_longer_than_the_server_can_count_is_shortened(make):
    backend, worker = make(expires=1e9), make()
    backend.expect()
    assert worker.store([told(backend, "one", ttl=1e9)]) == [True]
    assert backend.fetch(["one"]) == {"one": b"x"}


@pytest.mark.parametrize("persistent", [False, True])
def test_persistent_results_outlive_a_restart_of_the_server(rabbitmq, rabbitmq_host, persistent):
    url = {"broker_url": rabbitmq.url_of(rabbitmq_host), "persistent": persistent}
    backend, worker = open_backend("rpc://", url), open_backend("rpc://", url)
    backend.expect()
    worker.store([told(backend, "one")])
    rabbitmq.restart()
    assert backend.fetch(["one"]) == ({"one": b"x"} if persistent else {})
    backend.depart()
    backend.close()
    worker.close()


def test_what_came_while_the_line_was_cut_is_not_lost(make, proxy, rabbitmq, rabbitmq_host):
    backend = make()
    worker = open_backend("rpc://", {"broker_url": rabbitmq.url_of(rabbitmq_host)})  # past the proxy
    assert backend.wait(["one"], 0.05) == {}  # it listens
    with proxy.down():
        worker.store([told(backend, "one")])
    assert backend.wait(["one"], 5.0) == {"one": b"x"}
    worker.close()


def test_a_wait_outlives_a_short_outage(make, proxy, rabbitmq, rabbitmq_host):
    backend = make()
    worker = open_backend("rpc://", {"broker_url": rabbitmq.url_of(rabbitmq_host)})
    later = Later(lambda: backend.wait(["one"], 20.0))
    assert not later.done.wait(0.2)
    with proxy.down():
        assert not later.done.wait(1.0)
    worker.store([told(backend, "one")])
    assert later.result() == {"one": b"x"}
    worker.close()


def test_an_idle_line_that_was_cut_is_replaced_unnoticed(make, proxy):
    backend, worker = make(), make()
    worker.store([told(backend, "lost", state="STARTED")])  # to a queue that is not there yet
    assert backend.fetch(["one"]) == {}
    with proxy.down():
        pass
    worker.store([told(backend, "one")])
    assert backend.fetch(["one"]) == {"one": b"x"}
    with proxy.down():
        pass
    assert backend.forget(["one"]) == 1


def test_a_queue_that_was_deleted_is_made_again(make, channel, rabbitmq, rabbitmq_host, monkeypatch):
    monkeypatch.setattr(queue, "FRESH", 0.0)
    backend, worker = make(), make()
    backend.expect()
    channel.queue_delete(backend.reply_to)
    backend.expect()
    assert is_there(rabbitmq, rabbitmq_host, backend.reply_to)
    later = Later(lambda: backend.wait(["one"], 20.0))
    assert not later.done.wait(0.3)
    channel.queue_delete(backend.reply_to)
    eventually(lambda: is_there(rabbitmq, rabbitmq_host, backend.reply_to))
    worker.store([told(backend, "one")])
    assert later.result() == {"one": b"x"}


def test_the_server_is_asked_about_the_queue_once_in_a_while(make, proxy):
    backend = make()
    backend.expect()
    asked = len(proxy.requests)
    for _ in range(100):
        backend.expect()
    assert len(proxy.requests) == asked


def test_a_process_that_ends_takes_its_queue_along(rabbitmq, rabbitmq_host, tmp_path):
    program = (
        "import sys; from skirret.backends.open import open_backend\n"
        "backend = open_backend('rpc://', {'broker_url': sys.argv[1]})\n"
        "backend.expect(); print(backend.reply_to, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, rabbitmq.url_of(rabbitmq_host)],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        name = process.stdout.readline().strip()
        assert is_there(rabbitmq, rabbitmq_host, name)
        process.stdin.close()
        assert process.wait(10.0) == 0
    assert not is_there(rabbitmq, rabbitmq_host, name)


def _asked_in_a_child(backend, pipe):
    pipe.send((backend.reply_to, os.getpid()))
    backend.expect()
    pipe.send(backend.wait(["for-the-child"], 10.0))
    pipe.send(backend.fetch(["for-the-parent"]))
    os._exit(0)


def test_a_forked_child_has_a_queue_of_its_own_and_leaves_the_parents_alone(make):
    backend, worker = make(), make()
    assert backend.wait(["for-the-parent"], 0.05) == {}  # its line stands when it forks
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_asked_in_a_child, args=(backend, theirs))
    child.start()
    address, _ = ours.recv()
    assert address != backend.reply_to
    worker.store([told(backend, "for-the-parent")])
    eventually(
        lambda: (
            worker.store([Record(task_id="for-the-child", state="SUCCESS", payload=b"x", reply_to=address)])
            and ours.poll(0.1)
        )
    )
    assert ours.recv() == {"for-the-child": b"x"}
    assert ours.recv() == {}
    assert backend.wait(["for-the-parent"], 5.0) == {"for-the-parent": b"x"}
    child.join(10.0)


def test_what_nobody_reads_is_bounded_and_the_oldest_goes(make, caplog):
    backend, worker = make(cache_max=3), make()
    backend.expect()
    worker.store([told(backend, f"t{n}") for n in range(5)])
    assert set(backend.fetch([f"t{n}" for n in range(5)])) == {"t2", "t3", "t4"}
    assert [entry.levelname for entry in caplog.records if "nobody read them" in entry.message] == ["WARNING"]


def test_whoever_asks_without_having_sent_anything_is_told_why_it_stays_pending(make, caplog):
    backend = make()
    for _ in range(2):
        assert backend.fetch(["of-another-process"]) == {}
    assert [entry.levelname for entry in caplog.records if "stays PENDING" in entry.message] == ["WARNING"]


@pytest.mark.parametrize("broker", ["redis://localhost/0", "memory://", "sqlite:///x.sqlite3", ""])
def test_only_rabbitmq_brings_results_by_message(broker):
    with pytest.raises(ImproperlyConfigured, match="must be RabbitMQ"):
        open_backend("rpc://", {"broker_url": broker})


def test_a_group_is_not_saved_there(make):
    backend = make()
    for ask in (
        lambda: backend.store_group("g", b"x"),
        lambda: backend.fetch_group("g"),
        lambda: backend.forget_group("g"),
    ):
        with pytest.raises(CapabilityError, match="a group cannot be saved"):
            ask()


def test_a_look_finds_all_that_is_there_however_much_it_is(make):
    backend, worker = make(), make()
    backend.expect()
    names = [f"t{n}" for n in range(3 * queue.PREFETCH + 1)]
    worker.store([told(backend, name) for name in names])
    assert len(backend.fetch(names)) == len(names)


def test_a_look_that_follows_a_store_finds_it_each_time(make):
    backend, worker = make(), make()
    backend.expect()
    for n in range(300):
        worker.store([told(backend, f"t{n}-{k}") for k in range(1 + n % 40)])
        assert len(backend.fetch([f"t{n}-{k}" for k in range(1 + n % 40)])) == 1 + n % 40


@pytest.fixture
def app(url):
    with Skirret("rpc", broker=url, backend="rpc://", set_as_current=False) as app:
        yield app
        app.backend.depart()


def test_an_eager_result_is_kept_for_who_made_it(app):
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    made = app.task(name="double")(lambda x: 2 * x).delay(4)
    assert app.AsyncResult(made.id).get(timeout=5.0) == 8


def test_what_is_sent_says_where_its_result_is_expected(app):
    task = app.task(name="double")(lambda x: 2 * x)
    assert app.thread_oid == app.backend.reply_to
    assert app.publisher.prepare("double", (1,), task=task).envelope.reply_to == app.backend.reply_to
    told = task.s(1)
    told.freeze()
    assert told.options["reply_to"] == app.backend.reply_to


def test_nothing_is_sent_while_its_result_could_not_come(app, proxy):
    task = app.task(name="double")(lambda x: 2 * x)
    began = time.monotonic()
    with proxy.down(), pytest.raises(OperationalError, match="was not sent"):
        task.delay(1)
    assert time.monotonic() - began < 6.0
    task.delay(1)
    assert app.broker.size("celery").ready == 1
