"""Remote control of real workers over the embedded file: looking, revoking, terminating, and the command line."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skirret.errors import TaskRevokedError
from tests.acceptance.processes import Program, run, running

pytestmark = pytest.mark.timeout(120)

SOURCE = Path(__file__).with_name("control_app.py")
PATIENCE = 20.0


class Project:
    """A directory with the app, its workers, and the app in this process as a client.

    Args:
        directory: where it lies.
        app: the client's app.
    """

    def __init__(self, directory: Path, app: Any, tasks: Any) -> None:
        self.directory = directory
        self.app = app
        self.tasks = tasks

    @contextlib.contextmanager
    def worker(self, options: str = "-c 2", name: str = "w1@h") -> Iterator[Program]:
        """A worker, once it is ready and hears commands."""
        command = f"skirret -A control_app worker -n {name} -l info {options}"
        with running(command, self.directory) as worker:
            worker.wait_until_it_says("ready.")
            until(lambda: self.app.control.ping([name], timeout=1.0))
            yield worker

    def cli(self, words: str) -> tuple[int, str]:
        """Run a command line: (exit status, output)."""
        return run(f"skirret -A control_app {words}", self.directory)

    def ledger(self) -> list[str]:
        """What tasks told."""
        path = self.directory / "ledger"
        return path.read_text().splitlines() if path.exists() else []


@contextlib.contextmanager
def project_at(directory: Path) -> Iterator[Project]:
    """A project in a directory, with the app loaded as a module of its own."""
    shutil.copy(SOURCE, directory / "control_app.py")
    url = f"sqlite:///{directory}/queue.sqlite3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKIRRET_BROKER_URL", url)
        patch.setenv("SKIRRET_RESULT_BACKEND", url)
        patch.setenv("LEDGER", str(directory / "ledger"))
        spec = importlib.util.spec_from_file_location(f"control_app_{directory.name}", directory / "control_app.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.app.conf.broker_url == url
        yield Project(directory, module.app, module)
        module.app.close()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project without a worker."""
    with project_at(tmp_path) as project:
        yield project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose worker serves several tests; it must be as it was when a test ends."""
    with project_at(tmp_path_factory.mktemp("shared")) as project, project.worker("-c 2"):
        yield project


def until(condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {patience} s"
        time.sleep(0.02)
    return value


def is_revoked(result: Any, words: str) -> None:
    """The caller is told that the task was revoked, in `words`."""
    with pytest.raises(TaskRevokedError, match=words):
        result.get(timeout=PATIENCE)
    assert result.state == "REVOKED"


def test_a_revoked_countdown_task_stays_revoked_after_all_workers_restart(project):
    with project.worker() as first:
        result = project.tasks.mark.apply_async(("late",), countdown=3.0)
        assert result.revoke(wait=True, timeout=5.0) == [
            {"w1@h": {"ok": f"tasks {{'{result.id}'}} flagged as revoked"}}
        ]
        assert first.stop() == 0
    with project.worker(name="w2@h"):
        is_revoked(result, "revoked")
        assert project.app.control.inspect(timeout=5.0).revoked() == {"w2@h": [result.id]}
    assert project.ledger() == []


def test_a_task_revoked_while_no_worker_was_there_never_starts(project):
    results = [project.tasks.mark.delay(f"m{number}") for number in range(3)]
    project.app.control.revoke([result.id for result in results[:2]])
    with project.worker():
        assert results[2].get(timeout=PATIENCE) == "m2"
        for result in results[:2]:
            is_revoked(result, "revoked")
    assert project.ledger() == ["mark m2"]


def test_tasks_are_revoked_by_the_stamps_that_they_carry(shared):
    def stamped(name: str, **stamps: object) -> Any:
        return shared.tasks.mark.apply_async((name,), stamped_headers=list(stamps), countdown=1.0, **stamps)

    kept = stamped("kept", batch="a")
    gone = [stamped("x", batch="b"), stamped("y", batch="a", customer="7")]
    headers = {"batch": ["b", "c"], "customer": "7"}
    assert shared.app.control.revoke_by_stamped_headers(headers, reply=True, timeout=5.0)
    for result in gone:
        is_revoked(result, "revoked")
    assert kept.get(timeout=PATIENCE) == "kept"
    assert not {"mark x", "mark y"} & set(shared.ledger())


def test_a_running_task_that_is_revoked_and_not_terminated_finishes(shared):
    result = shared.tasks.nap.delay("finishes", 1.0)
    until(lambda: "begin finishes" in shared.ledger())
    result.revoke(wait=True, timeout=5.0)
    assert result.get(timeout=PATIENCE) == "finishes"


def test_tasks_that_wait_behind_others_in_the_worker_are_revoked(shared):
    before = [shared.tasks.nap.delay(f"before{number}", 1.5) for number in range(2)]
    until(lambda: {"begin before0", "begin before1"} <= set(shared.ledger()))
    behind = shared.tasks.mark.delay("behind")
    behind.revoke(wait=True, timeout=5.0)
    is_revoked(behind, "revoked")
    assert [result.get(timeout=PATIENCE) for result in before] == ["before0", "before1"]
    assert "mark behind" not in shared.ledger()


def test_a_signal_that_does_not_exist_is_refused(shared):
    (reply,) = shared.app.control.terminate("an-id", signal="SIGNOTHING", reply=True, timeout=5.0)
    assert "SIGNOTHING" in reply["w1@h"]["error"]


def test_a_flood_of_commands_and_of_garbage_does_no_harm(shared):
    broker = shared.app.broker
    for _ in range(20):
        broker.fan_out("celery.pidbox", [("", b"garbage"), ("", b"{" * 1000), ("", b"")] * 20)
    for number in range(300):
        shared.app.control.broadcast("rate_limit", {"task_name": f"t{number}", "rate_limit": "1/s"})
    assert shared.tasks.mark.delay("m").get(timeout=PATIENCE) == "m"
    until(lambda: shared.app.control.ping(timeout=1.0) == [{"w1@h": {"ok": "pong"}}])


@pytest.mark.parametrize(
    "options, signal", [("-P prefork -c 2", "SIGTERM"), ("-P threads -c 2", "KILL"), ("-P asyncio -c 2", "SIGTERM")]
)
def test_terminate_ends_a_running_task_and_no_other(project, options, signal):
    nap = project.tasks.anap if "asyncio" in options else project.tasks.nap
    with project.worker(options):
        neighbour, doomed = nap.delay("neighbour", 2.0), nap.delay("doomed", 60.0)
        until(lambda: len(project.ledger()) == 2)
        told = doomed.revoke(terminate=True, signal=signal, wait=True, timeout=5.0)
        assert told == [{"w1@h": {"ok": f"terminate: {doomed.id}"}}]
        start = time.monotonic()
        is_revoked(doomed, "terminated")
        assert time.monotonic() - start < 5.0
        assert neighbour.get(timeout=PATIENCE) == "neighbour"
        assert project.tasks.mark.delay("after").get(timeout=PATIENCE) == "after"
    assert "end doomed" not in project.ledger()
    assert project.ledger().count("begin neighbour") == 1


def test_solo_ends_what_waits_and_refuses_only_what_runs(project):
    with project.worker("-P solo"):
        running = project.tasks.nap.delay("runs", 2.0)
        until(lambda: project.ledger() == ["begin runs"])
        waiting = project.tasks.mark.delay("waits")
        due = project.tasks.mark.apply_async(("due",), countdown=2.0)
        assert waiting.revoke(terminate=True, wait=True, timeout=5.0) == [{"w1@h": {"ok": "terminate: tasks unknown"}}]
        (reply,) = project.app.control.terminate([running.id, due.id], reply=True, timeout=5.0)
        assert "solo" in reply["w1@h"]["error"]
        assert running.get(timeout=PATIENCE) == "runs"
        is_revoked(waiting, "revoked")
        is_revoked(due, "revoked")
    assert project.ledger() == ["begin runs", "end runs"]


def test_solo_refuses_to_terminate_and_says_why(project):
    with project.worker("-P solo"):
        result = project.tasks.nap.delay("n", 1.0)
        until(lambda: project.ledger() == ["begin n"])
        (reply,) = result.revoke(terminate=True, wait=True, timeout=5.0)
        assert "solo" in reply["w1@h"]["error"]
        assert result.get(timeout=PATIENCE) == "n"


def test_what_runs_what_waits_and_what_is_due_later_is_told(project):
    with project.worker("-c 1"):
        running_one = project.tasks.nap.delay("n", 2.0)
        later = project.tasks.mark.apply_async(("m",), countdown=60.0)
        until(project.ledger)
        look = project.app.control.inspect(timeout=5.0)
        (active,) = look.active()["w1@h"]
        assert {key: active[key] for key in ("id", "name", "args", "kwargs", "type", "hostname", "acknowledged")} == {
            "id": running_one.id,
            "name": "control_app.nap",
            "args": ["n", 2.0],
            "kwargs": {},
            "type": "control_app.nap",
            "hostname": "w1@h",
            "acknowledged": False,
        }
        assert time.time() - 2.0 <= active["time_start"] <= time.time()
        assert active["worker_pid"] in look.stats()["w1@h"]["pool"]["processes"]
        (scheduled,) = look.scheduled()["w1@h"]
        assert scheduled["request"]["id"] == later.id
        known = look.query_task(running_one.id, later.id, "nobody")["w1@h"]
        assert {task_id: told[0] for task_id, told in known.items()} == {
            running_one.id: "active",
            later.id: "scheduled",
        }
        assert known[later.id][1] == scheduled["request"]
        assert running_one.get(timeout=PATIENCE) == "n"
        assert look.stats()["w1@h"]["total"] == {"control_app.nap": 1}
        assert "control_app.limited [rate_limit=100/s]" in look.registered()["w1@h"]
        assert [queue["name"] for queue in look.active_queues()["w1@h"]] == ["celery"]
        assert look.conf()["w1@h"]["broker_url"].startswith("sqlite:///")


def test_commands_of_the_apps_own_run_beside_the_worker(shared):
    control = shared.app.control
    (first,) = control.broadcast("increase", {"n": 2}, reply=True, timeout=10.0)
    (second,) = control.broadcast("increase", reply=True, timeout=10.0)
    assert [reply["w1@h"]["ok"] for reply in (first, second)] == ["w1@h counts 2", "w1@h counts 3"]
    pid = first["w1@h"]["pid"]
    stats = control.inspect(timeout=10.0).stats()["w1@h"]
    assert pid not in {stats["pid"], *stats["pool"]["processes"]}
    for name in ("trouble", "dump_trouble"):
        assert control.broadcast(name, reply=True, timeout=10.0) == [{"w1@h": {"error": "ValueError('no luck')"}}]
    status, said = shared.cli("control increase 4 -t 10")
    assert (status, "w1@h counts 7" in said) == (0, True)
    status, said = shared.cli("inspect --list")
    assert (status, "trouble" in said, "Fail." in said) == (0, True, True)
    (reply,) = control.broadcast("death", reply=True, timeout=10.0)
    assert "died" in reply["w1@h"]["error"]
    until(lambda: "ok" in control.broadcast("increase", reply=True, timeout=10.0)[0]["w1@h"])
    assert shared.tasks.mark.delay("m").get(timeout=PATIENCE) == "m"


def test_shutdown_ends_a_worker_when_its_tasks_are_done(project):
    with project.worker() as worker:
        result = project.tasks.nap.delay("n", 1.0)
        until(project.ledger)
        assert project.app.control.shutdown(reply=True, timeout=5.0) == [{"w1@h": {"ok": "shutting down"}}]
        assert worker.wait() == 0
        assert result.get(timeout=PATIENCE) == "n"


def pids(project: Project) -> set[int]:
    """The processes of the pool's children."""
    return set(project.app.control.inspect(timeout=5.0).stats()["w1@h"]["pool"]["processes"])


@pytest.mark.parametrize("options", ["-P prefork -c 2", "-P threads -c 2"])
def test_a_pool_grows_and_shrinks_and_running_tasks_finish(project, options):
    control = project.app.control
    with project.worker(options):
        napping = [project.tasks.nap.delay(f"n{number}", 2.0) for number in range(2)]
        until(lambda: len(project.ledger()) == 2)
        assert control.pool_grow(2, reply=True, timeout=5.0) == [{"w1@h": {"ok": "pool will grow"}}]
        more = [project.tasks.nap.delay(f"m{number}", 0.1) for number in range(2)]
        until(lambda: {"end m0", "end m1"} <= set(project.ledger()))
        assert control.pool_shrink(3, reply=True, timeout=5.0) == [{"w1@h": {"ok": "pool will shrink"}}]
        assert [result.get(timeout=PATIENCE) for result in (*napping, *more)] == ["n0", "n1", "m0", "m1"]
        until(lambda: len(pids(project)) == 1)
        (reply,) = control.pool_shrink(1, reply=True, timeout=5.0)
        assert "cannot shrink" in reply["w1@h"]["error"]
        assert project.tasks.mark.delay("m").get(timeout=PATIENCE) == "m"


def test_autoscale_follows_the_load(project):
    with project.worker("--autoscale 4,1"):
        assert len(pids(project)) == 1
        napping = [project.tasks.nap.delay(f"n{number}", 3.0) for number in range(4)]
        until(lambda: len(project.ledger()) == 4)
        (reply,) = project.app.control.autoscale(3, 2, reply=True, timeout=5.0)
        assert reply == {"w1@h": {"ok": "autoscale now max=3 min=2"}}
        assert len([result.get(timeout=PATIENCE) for result in napping]) == 4
        until(lambda: len(pids(project)) == 3)


def test_a_pool_restarts_with_new_code_and_an_app_that_is_broken_changes_nothing(project):
    source = project.directory / "control_app.py"
    control = project.app.control
    with project.worker("-c 1") as worker:
        first, running_one = pids(project), project.tasks.nap.delay("n", 2.0)
        until(project.ledger)
        text = source.read_text()
        source.write_text(text.replace("return name", "return name.upper()"))
        assert control.pool_restart(reply=True, timeout=10.0) == [{"w1@h": {"ok": "reload started"}}]
        until(lambda: not first & pids(project))
        assert running_one.get(timeout=PATIENCE) == "n"
        assert project.tasks.mark.delay("m").get(timeout=PATIENCE) == "M"
        second = pids(project)
        source.write_text(text + "\nraise RuntimeError('broken')\n")
        control.pool_restart(reply=True, timeout=10.0)
        worker.wait_until_it_says("everything stays as it was")
        assert pids(project) == second
        assert project.tasks.mark.delay("o").get(timeout=PATIENCE) == "O"


def test_the_command_line_asks_and_tells(project):
    assert project.cli("status") == (75, project.cli("inspect ping")[1])
    with project.worker(), project.worker(name="w2@h"):
        status, said = project.cli("status")
        assert (status, "w1@h: OK" in said, "w2@h: OK" in said, "2 nodes online." in said) == (0, True, True, True)
        status, said = project.cli("inspect ping --json -d w2@h")
        assert (status, json.loads(said)) == (0, {"w2@h": {"ok": "pong"}})
        status, said = project.cli("inspect registered")
        assert (status, "* control_app.mark" in said) == (0, True)
        status, said = project.cli("inspect -j stats")
        assert json.loads(said)["w1@h"]["pool"]["max-concurrency"] == 2
        assert project.cli("inspect ping -d w9@h -t 0.2")[0] == 75
        status, said = project.cli("inspect pnig")
        assert (status, "Did you mean 'ping'" in said) == (2, True)
        status, said = project.cli("inspect revoke x")
        assert (status, "skirret control" in said) == (2, True)
        assert project.cli("control time_limit nobody 1")[0] == 1
        assert project.cli("control time_limit control_app.mark 1 2 -d w1@h")[0] == 0
        status, said = project.cli("control add_consumer extra")
        assert (status, "add consumer extra" in said) == (0, True)
        assert project.tasks.mark.apply_async(("m",), queue="extra").get(timeout=PATIENCE) == "m"
        for kind, name in (("inspect", "query_task"), ("control", "rate_limit <task>")):
            status, said = project.cli(f"{kind} --list")
            assert (status, name in said) == (0, True)


def test_a_revoke_of_the_command_line_holds_without_a_worker(project):
    result = project.tasks.mark.delay("m")
    status, said = project.cli(f"control revoke {result.id}")
    assert (status, "remembered" in said) == (0, True)
    with project.worker():
        is_revoked(result, "revoked")
