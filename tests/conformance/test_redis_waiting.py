"""What the result store on Redis does beyond the exam: how waiting holds when lines, hints or the server fail."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from functools import partial

import pytest

from skirret.backends.open import open_backend
from skirret.backends.redis import ear as ears
from skirret.coordination.open import open_coordination
from skirret.errors import BackendError
from skirret.message import Record
from skirret.results import ResultReader
from skirret.testing.conformance.material import Later, eventually
from tests.servers.proxy import Proxy
from tests.servers.redis_servers import RedisServer, redis_binary


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def empty(server):
    server.ask("FLUSHALL")


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def backend(proxy):
    """Through the proxy."""
    backend = open_backend(f"redis://127.0.0.1:{proxy.port}/0")
    yield backend
    backend.close()


@pytest.fixture
def writer(server):
    """Another client, straight to the server."""
    backend = open_backend(server.url, {"client_name": "writer"})
    yield backend
    backend.close()


def plain(task_id, state="SUCCESS", ttl=60.0):
    payload = b'{"status": "%b", "result": 1, "task_id": "%b"}' % (state.encode(), task_id.encode())
    return Record(task_id=task_id, state=state, payload=payload, ttl=ttl)


def listeners(server, name="celery-task-meta-*"):
    return server.ask("PUBSUB", "CHANNELS", name).count(b"celery-task-meta-")


def commands(server, name):
    text = server.ask("INFO", "commandstats").decode()
    (line,) = [one for one in text.splitlines() if one.startswith(f"cmdstat_{name}:")] or ["calls=0,"]
    return int(line.split("calls=")[1].split(",")[0])


def test_a_line_that_is_killed_is_replaced_and_nothing_is_missed(server, backend, writer):
    waiting = [Later(partial(backend.wait, [f"t{n}"], 10.0)) for n in range(5)]
    eventually(lambda: listeners(server) == 5)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    writer.store([plain(f"t{n}") for n in range(5)])
    start = time.monotonic()
    assert [sorted(one.result()) for one in waiting] == [[f"t{n}"] for n in range(5)]
    assert time.monotonic() - start < 0.9, "at once, not only when it is time to look again"


def test_a_result_that_nobody_told_of_is_found_by_looking(server, backend):
    later = Later(partial(backend.wait, ["quiet"], 10.0))
    eventually(lambda: listeners(server) == 1)
    server.ask("SET", "celery-task-meta-quiet", '{"status": "SUCCESS"}')
    assert later.result() == {"quiet": b'{"status": "SUCCESS"}'}


def test_a_result_told_between_two_waits_is_not_missed(server, backend, writer):
    assert backend.wait(["a", "b"], 0.05) == {}
    assert listeners(server) == 2
    writer.store([plain("a")])
    assert backend.wait(["b"], 0.05) == {}, "hears of a, for whom nobody waits"
    start = time.monotonic()
    assert set(backend.wait(["a"], 5.0)) == {"a"}
    assert time.monotonic() - start < 0.5


def test_a_result_that_comes_before_anybody_listens_is_not_missed(server, backend, writer, monkeypatch):
    listen = ears.Ear.listen

    def late(self, ids, deadline):
        writer.store([plain("early")])
        return listen(self, ids, deadline)

    monkeypatch.setattr(ears.Ear, "listen", late)
    start = time.monotonic()
    assert set(backend.wait(["early"], 5.0)) == {"early"}
    assert time.monotonic() - start < 0.5


def test_a_wait_that_is_repeated_asks_the_server_nothing(server, backend):
    ids = [f"t{n}" for n in range(50)]
    backend.wait(ids, 0.05)
    before = commands(server, "mget")
    for _ in range(5):
        backend.wait(ids, 0.02)
    assert commands(server, "mget") - before <= 1, "once a second it looks"


def test_thousands_of_tasks_are_waited_for_on_one_line(server, backend, writer):
    ids = [f"t{n}" for n in range(3000)]
    later = Later(partial(backend.wait, ids, 20.0))
    eventually(lambda: listeners(server) >= 1)
    writer.store([plain("t1234")])
    assert set(later.result(20.0)) == {"t1234"}
    clients = server.ask("CLIENT", "LIST", "TYPE", "pubsub").decode()
    assert sum("sub=3000" in one for one in clients.splitlines()) == 1


def test_channels_that_nobody_waits_for_are_given_up(server, backend):
    for n in range(0, 3000, 100):
        backend.wait([f"t{k}" for k in range(n, n + 100)], 0.0 if n % 200 else 0.001)
    clients = server.ask("CLIENT", "LIST", "TYPE", "pubsub").decode()
    (count,) = [int(one.split(" sub=")[1].split()[0]) for one in clients.splitlines() if " sub=" in one]
    assert count <= 2 * ears.SPARE


def test_where_listening_is_forbidden_the_keys_are_read(server, writer):
    server.ask("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "-subscribe", "&*")
    backend = open_backend(f"redis://deaf:secret@127.0.0.1:{server.port}/0")
    later = Later(partial(backend.wait, ["one"], 10.0))
    assert not later.done.wait(0.2)
    writer.store([plain("one")])
    start = time.monotonic()
    assert set(later.result()) == {"one"}
    assert time.monotonic() - start < 1.0
    backend.close()
    server.ask("ACL", "DELUSER", "deaf")


def test_a_frozen_server_is_told_within_the_deadline(backend, proxy):
    backend.fetch(["x"])
    with proxy.freeze():
        start = time.monotonic()
        with pytest.raises(BackendError, match="did not answer in time"):
            backend.fetch(["x"])
        assert time.monotonic() - start < 6.0
    assert eventually(lambda: backend.fetch(["x"]) == {})


def test_a_wait_outlives_a_short_outage(proxy, backend, writer):
    later = Later(partial(backend.wait, ["x"], 10.0))
    assert not later.done.wait(0.1)
    with proxy.down():
        writer.store([plain("x")])
        assert not later.done.wait(0.7)
    assert set(later.result()) == {"x"}


def test_a_wait_fails_within_its_time_when_the_server_goes(proxy, backend):
    later = Later(partial(backend.wait, ["x"], 2.0))
    assert not later.done.wait(0.1)
    with proxy.down():
        start = time.monotonic()
        with pytest.raises(BackendError):
            later.result()
        assert time.monotonic() - start < 3.0
        later = Later(partial(backend.wait, ["x"], 60.0))
        with pytest.raises(BackendError):
            later.result(20.0)
        assert 4.0 < time.monotonic() - start < 10.0


def test_get_does_not_notice_a_restart_of_the_server(proxy, backend, writer):
    reader = ResultReader(backend)
    later = Later(partial(reader.wait, "x", 20.0))
    assert not later.done.wait(0.1)
    with proxy.down():
        assert not later.done.wait(2.5)
    writer.store([plain("x")])
    assert later.result().status == "SUCCESS"


def test_a_pause_of_an_outage_is_interrupted(proxy, backend):
    with proxy.down():
        later = Later(partial(backend.wait, ["x"], 60.0))
        assert not later.done.wait(0.3)
        backend.interrupt()
        assert later.result() == {}


def test_each_cut_of_an_answer_leaves_one_outcome(proxy, backend, writer):
    """The server did it and nobody heard: the second try must not say that somebody else was first."""
    backend.store([plain("warm")])
    for n, cut in enumerate([0, 1, 3]):
        proxy.cut_answer = cut
        assert backend.store([plain(f"t{n}"), plain(f"u{n}", "FAILURE")]) == [True, True]
        assert set(writer.fetch([f"t{n}", f"u{n}"])) == {f"t{n}", f"u{n}"}


@pytest.mark.parametrize("cut", [0, 2])
def test_each_cut_of_coordinations_answer_leaves_one_outcome(proxy, cut):
    shared = open_coordination(f"redis://127.0.0.1:{proxy.port}/0")
    shared.acquire("lease", "me", 60.0)
    answers = []
    for ask in (
        lambda: shared.increment("count"),
        lambda: shared.increment("count", 5),
        lambda: shared.compare_and_set("value", None, b"1"),
        lambda: shared.compare_and_set("value", b"1", None),
        lambda: shared.take_tokens("bucket", 0.001, 2.0),
        lambda: shared.take_tokens("bucket", 0.001, 2.0),
        lambda: shared.release("lease", "me"),
    ):
        proxy.cut_answer = cut
        answers.append(ask())
    assert answers == [1, 6, True, True, 0.0, 0.0, True]
    assert proxy.cuts >= len(answers)
    shared.close()


def test_a_batch_is_stored_in_portions(server, writer):
    before = commands(server, "evalsha")
    records = [plain(f"t{n}") for n in range(1000)]
    assert writer.store(records) == [True] * 1000
    assert commands(server, "evalsha") - before == 10
    assert len(writer.fetch([one.task_id for one in records])) == 1000


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork beside threads, on purpose
def test_a_forked_child_has_lines_of_its_own(server, backend, writer):
    """And the parent's wait goes on undisturbed."""
    later = Later(partial(backend.wait, ["parents"], 20.0))
    eventually(lambda: listeners(server) == 1)
    backend.interrupt()
    assert later.result() == {}
    later = Later(partial(backend.wait, ["parents"], 20.0))
    readable, writable = os.pipe()
    child = _fork(backend, writable)
    os.close(writable)
    eventually(lambda: listeners(server) == 2)
    writer.store([plain("childs"), plain("parents")])
    assert set(later.result()) == {"parents"}
    with os.fdopen(readable, "rb") as answer:
        assert answer.read() == b"childs"
    assert os.waitpid(child, 0)[1] == 0


def _fork(backend, writable):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        found = backend.wait(["childs"], 20.0)
        os.write(writable, b",".join(one.encode() for one in found))
        status = 0
    finally:
        os._exit(status)


def test_greenlets_wait_without_stopping_each_other(server):
    program = """
        from gevent import monkey; monkey.patch_all()
        import gevent, time, sys
        from skirret.backends.open import open_backend
        from skirret.message import Record
        backend, writer = open_backend(sys.argv[1]), open_backend(sys.argv[1], {"client_name": "w"})
        ticks = []
        def tick():
            while True:
                ticks.append(time.monotonic()); gevent.sleep(0.01)
        ticker = gevent.spawn(tick)
        def wait(n):
            return list(backend.wait([f"g{n}"], 10.0))
        waits = [gevent.spawn(wait, n) for n in range(50)]
        gevent.sleep(0.3)
        for n in range(50):
            writer.store([Record(task_id=f"g{n}", state="SUCCESS", payload=b'{"status": "SUCCESS"}', ttl=60.0)])
        gevent.joinall(waits, timeout=10)
        assert [w.value for w in waits] == [[f"g{n}"] for n in range(50)], [w.value for w in waits]
        gaps = [b - a for a, b in zip(ticks, ticks[1:])]
        assert max(gaps) < 0.25, max(gaps)
        print("well")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), server.url],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout == "well\n", done.stderr


def test_whether_it_listens_or_reads_first_follows_from_what_it_found_last(server, backend, writer):
    def wait_while_it_finishes(task_id):
        waiting = Later(partial(backend.wait, [task_id], 10.0))
        eventually(lambda: f"celery-task-meta-{task_id}".encode() in server.ask("PUBSUB", "CHANNELS"))
        time.sleep(0.05)
        writer.store([plain(task_id)])
        assert waiting.result() == {task_id: plain(task_id).payload}

    def cost(call, *arguments):
        before = commands(server, "mget"), commands(server, "subscribe")
        call(*arguments)
        return commands(server, "mget") - before[0], commands(server, "subscribe") - before[1]

    assert cost(wait_while_it_finishes, "first") == (2, 1), "it reads, listens, and reads what came meanwhile"
    assert cost(wait_while_it_finishes, "second") == (1, 1)
    writer.store([plain("done"), plain("done too")])
    assert cost(backend.wait, ["done"], 10.0) == (1, 1)
    assert cost(backend.wait, ["done too"], 10.0) == (1, 0)
