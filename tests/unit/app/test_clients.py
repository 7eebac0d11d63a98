"""Which server an app talks to, and that each process has connections of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings

import pytest

from skirret import Skirret
from skirret.brokers.memory import MemoryBroker
from skirret.errors import EmbeddedBrokerWarning, ImproperlyConfigured
from skirret.url import parse
from tests.unit.app.conftest import sent


def test_connections_open_on_first_use_and_stay(app):
    assert app.clients._open == {}
    assert app.broker is app.broker
    assert app.backend is app.backend
    assert app.reader is app.reader


def test_the_reader_keeps_as_many_results_as_the_settings_say(make_app):
    assert make_app().reader.cache_max == -1
    assert make_app(result_cache_max=7).reader.cache_max == 7


def test_closing_lets_go_and_the_next_use_opens_again(app):
    first = app.broker
    with app as same:
        assert same is app
    assert app.broker is not first


def test_a_broker_without_a_result_backend_has_no_results():
    app = Skirret("x", broker="memory://no-results")
    assert app.backend_url_in_use() == "disabled://"
    assert not app.backend.enabled


def test_several_broker_addresses_are_handed_on_whole_and_the_write_address_wins():
    several = "sentinel://a:26379;sentinel://b:26379"
    assert Skirret("x", broker=several).broker_url_in_use() == several
    assert Skirret("x", broker=several.split(";")).broker_url_in_use() == several
    assert Skirret("x", broker="memory://a", broker_write_url="memory://w").broker_url_in_use() == "memory://w"


def test_settings_that_say_how_to_reach_a_server_become_its_options(monkeypatch):
    asked = []
    broker = MemoryBroker.from_url(parse("memory://options"), {})
    monkeypatch.setattr("skirret.brokers.open.open_broker", lambda url, options: asked.append(options) or broker)
    monkeypatch.setattr("skirret.backends.open.open_backend", lambda url, options: asked.append(options) or "backend")
    app = Skirret("x", broker="redis://a", backend="redis://b", set_as_current=False)
    app.conf.update(
        priority_order="celery",
        broker_use_ssl={"ssl_cert_reqs": "required"},
        broker_transport_options={"global_keyprefix": "p:"},
        broker_connection_timeout=2,
        redis_backend_use_ssl={"ssl_ca_certs": "ca.pem"},
    )
    assert (app.broker, app.backend) == (broker, "backend")
    assert asked == [
        {
            "priority_order": "celery",
            "socket_connect_timeout": 2.0,
            "ssl": {"ssl_cert_reqs": "required"},
            "global_keyprefix": "p:",
        },
        {"ssl": {"ssl_ca_certs": "ca.pem"}},
    ]


def test_without_a_broker_messages_and_results_share_the_embedded_file(home):
    app = Skirret("x")
    url = f"sqlite:///{home / 'queue.sqlite3'}"
    assert app.broker_url_in_use() == url
    assert app.backend_url_in_use() == url
    assert app.clients.is_embedded()


def test_the_setting_embedded_path_names_the_file(tmp_path):
    app = Skirret("x", embedded_path=str(tmp_path / "mine.db"))
    assert app.broker_url_in_use() == f"sqlite:///{tmp_path}/mine.db"


def test_the_first_publish_to_the_embedded_file_warns_once_with_its_name_at_the_caller(home):
    app = Skirret("x")
    task = app.task(name="t")(lambda: 1)
    with pytest.warns(EmbeddedBrokerWarning) as caught:
        task.delay()
    assert str(home / "queue.sqlite3") in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.delay()
        task.apply_async()
        app.send_task("t")
    assert len(sent(app)) == 4
    app.close()


@pytest.mark.parametrize("how", ["apply_async", "send_task", "send_many"])
def test_the_warning_points_at_the_caller_however_it_calls(how):
    app = Skirret("x")
    task = app.task(name="t")(lambda: 1)
    ways = {
        "apply_async": task.apply_async,
        "send_task": lambda: app.send_task("t"),
        "send_many": lambda: app.send_many([task.s()]),
    }
    with pytest.warns(EmbeddedBrokerWarning) as caught:
        ways[how]()
    assert caught[0].filename == __file__
    app.close()


def test_a_configured_broker_does_not_warn(app):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.send_task("t")


def test_a_task_that_a_worker_runs_is_not_warned(home):
    from skirret import context
    from skirret.request import Context

    app = Skirret("x")
    context.push_task(app.task(name="t")(lambda: 1), Context(id="1", called_directly=False))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            app.send_task("t")
    finally:
        context.pop_task()
    app.close()


def in_child(work):
    """What `work` writes in a forked child, which ends at once."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    answer = b""
    while piece := os.read(reader, 65536):
        answer += piece
    os.close(reader)
    os.waitpid(child, 0)
    return answer.decode()


def test_a_forked_child_opens_its_own_connections_and_leaves_the_parents_alone(app):
    parent = app.broker
    closed = []
    parent.close = lambda: closed.append(1)
    assert in_child(lambda: app.broker is parent) == "False"
    assert in_child(lambda: len(app.clients._inherited) >= 1) == "True"
    assert app.broker is parent
    del parent.close
    assert closed == []


def test_a_forked_child_is_told_of_by_a_signal(app):
    heard = []
    app.on_after_fork.connect(lambda sender, **_: heard.append(sender.main), weak=False)
    assert in_child(lambda: heard) == "['proj']"
    assert heard == []


def test_a_forked_child_has_another_identity(app):
    assert in_child(lambda: app.thread_oid) != app.thread_oid
    origin = in_child(lambda: app.publisher.prepare("t", ()).envelope.headers["origin"])
    assert origin != app.publisher.prepare("t", ()).envelope.headers["origin"]


OPENING = """
    import os, sys, threading, time, types
    from skirret import Skirret
    import skirret.brokers.open as opening

    class SlowModule:
        # a driver whose import takes a moment
        def find_spec(self, name, path=None, target=None):
            if name == "slow_driver":
                from importlib.machinery import ModuleSpec
                return ModuleSpec(name, self)
        def create_module(self, spec): return None
        def exec_module(self, module):
            started.set(); time.sleep(0.3)

    started = threading.Event()
    sys.meta_path.insert(0, SlowModule())
    real = opening.open_broker
    def open_slowly(url, options):
        import slow_driver
        return real(url, options)
    opening.open_broker = open_slowly

    app = Skirret("opening", broker="memory://opening")
    thread = threading.Thread(target=lambda: app.send_task("t"))
    thread.start()
    started.wait()
    child = os.fork()
    if child == 0:
        import faulthandler
        faulthandler.dump_traceback_later(15, exit=True)
        app.send_task("t")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    thread.join()
"""


def test_a_fork_while_a_thread_opens_the_broker_does_not_leave_the_child_waiting_for_its_import(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(OPENING))
    # Python 3.12 and newer warn of any fork beside a thread, and such a fork is what this is about.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


PROGRAM = """
    import os, sys, warnings, multiprocessing
    from skirret import Skirret
    warnings.simplefilter("ignore")
    app = Skirret("forked")

    @app.task(name="work")
    def work(n):
        return n

    def child(base):
        for n in range(5):
            work.delay(base + n)

    if __name__ == "__main__":
        work.delay(0)
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=child, args=(100 * n,)) for n in (1, 2, 3)]
        for one in children: one.start()
        for one in children: one.join()
        assert [one.exitcode for one in children] == [0, 0, 0]
        work.delay(1)
        print(app.broker.size("celery").ready)
"""


def test_parent_and_forked_children_publish_to_the_embedded_file(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("17", "")


def test_shared_state_is_kept_by_the_broker_else_by_the_result_store_else_by_none(monkeypatch, tmp_path):
    def place(**settings):
        return Skirret("state", set_as_current=False, **settings).clients.coordination_url()

    assert place(broker="memory://a", result_backend="memory://b") == "memory://a"
    assert place(broker="parrot://a", result_backend="memory://b") == "memory://b"
    assert place(broker="parrot://a", result_backend="memory://b", coordination_url="memory://c") == "memory://c"
    assert place(broker="parrot://a", result_backend="parrot://b") is None
    assert place(broker="parrot://a") is None


def test_where_nothing_keeps_shared_state_what_needs_it_is_refused_with_a_way_out():
    app = Skirret("state", set_as_current=False, broker="parrot://user:secret@a")
    with pytest.raises(ImproperlyConfigured, match="set coordination_url") as refused:
        app.pause_queue("celery")
    assert "secret" not in str(refused.value)
