"""Servers that are set wrongly or full, two databases of one, and a result store that is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.acceptance.faulty import wait_until
from tests.acceptance.processes import running
from tests.acceptance.redis_load import SAFE, RedisProject, left_over
from tests.servers.redis_servers import RedisServer, redis6_binary, redis_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Start = Callable[..., RedisServer]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts servers with such options."""
    monkeypatch.delenv("SKIRRET_HOME")
    servers = []

    def started(*options: str, binary: str = "") -> RedisServer:
        servers.append(RedisServer(binary or redis_binary(), tmp_path / f"server-{len(servers)}", *options))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


def refused(project: RedisProject) -> str:
    """What a worker says that does not start because of its settings."""
    with running("skirret -A faults_app worker -c 1", project.directory, project.env) as worker:
        assert worker.wait(15) == 78
        assert "Traceback" not in worker.said()
        return worker.said()


def test_a_server_that_would_evict_tasks_is_refused(start: Start, tmp_path: Path) -> None:
    server = start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    said = refused(RedisProject(tmp_path, server.url))
    assert "allkeys-lru" in said
    assert "maxmemory-policy noeviction" in said


def test_a_replica_is_refused(start: Start, tmp_path: Path) -> None:
    master = start()
    replica = start("--replicaof", "127.0.0.1", str(master.port))
    said = refused(RedisProject(tmp_path, replica.url))
    assert "replica" in said
    assert "sentinel://" in said


def test_a_master_that_is_made_a_replica_and_a_master_again_is_waited_for(start: Start, tmp_path: Path) -> None:
    other, server = start("--repl-diskless-sync-delay", "0"), start()
    project = RedisProject(tmp_path, server.url)
    project.env["SKIRRET_WORKER_LEASE"] = "3"
    with project.worker("-c 1") as worker:
        project.send("empty").get(timeout=10)
        server.ask("REPLICAOF", "127.0.0.1", str(other.port))  # its data are gone, so the worker begins anew
        worker.wait_until_it_says("Trouble with a server")
        time.sleep(2.0)
        server.ask("REPLICAOF", "NO", "ONE")
        back = time.monotonic()
        project.send("empty").get(timeout=10)
        assert time.monotonic() - back <= 5.0
        assert worker.stop() == 0
    project.app.close()


def test_a_server_that_may_forget_is_warned_of_and_used(start: Start, tmp_path: Path) -> None:
    project = RedisProject(tmp_path, start("--maxmemory-policy", "volatile-lru").url)
    with project.worker("-c 1") as worker:
        project.send("empty").get(timeout=10)
        said = worker.said()
    project.app.close()
    assert "volatile-lru" in said
    assert "append-only file" in said
    assert said.count("append-only file") == 1


def test_a_safe_server_is_not_warned_of(start: Start, tmp_path: Path) -> None:
    project = RedisProject(tmp_path, start(*SAFE).url)
    with project.worker("-c 1") as worker:
        project.send("empty").get(timeout=10)
        assert "WARNING" not in worker.said()
    project.app.close()


def test_redis_6_serves_workers_as_redis_7_does(start: Start, tmp_path: Path) -> None:
    server = start(*SAFE, binary=redis6_binary())
    project = RedisProject(tmp_path, server.url)
    with project.worker("-c 2") as worker:
        with project.producer():
            wait_until(lambda: len(project.count("end")) > 200)
            server.restart()
            back = time.monotonic()
            wait_until(lambda: project.consumes_since(back), 10.0)
        project.settle_down()
        assert worker.stop() == 0
    verdict = project.judge()
    project.app.close()
    print(verdict)
    assert verdict.again == 0, verdict
    assert verdict.lost == verdict.torn == verdict.early == [], verdict
    assert left_over(server) == []


def test_a_full_server_is_drained_by_its_worker(start: Start, tmp_path: Path) -> None:
    server = start("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    project = RedisProject(tmp_path, server.url)
    with project.worker("-c 2") as worker:
        project.send("short", "stuck", 1.5)
        project.send("short", "stuck-too", 1.5)
        wait_until(lambda: len(project.count("start")) == 2)
        sent = [project.send("quick", n) for n in range(100)]
        with redis.Redis(port=server.port) as client:
            client.set("somebody's", "x" * 1_000_000)
            client.config_set("maxmemory", "1mb")  # full, and nothing but draining makes room
            with pytest.raises(Exception, match="out of memory"):
                project.send("quick", "refused", retry=False)
            wait_until(lambda: len(project.count("start")) == 102)
            wait_until(lambda: project.size().held == 0)
            assert client.config_get("maxmemory")["maxmemory"] == "1048576"
            client.delete("somebody's")
            client.config_set("maxmemory", "100mb")
        for result in sent:
            result.get(timeout=10)
        assert worker.stop() == 0
    project.app.close()
    assert set(project.count("start").values()) == {1}
    assert left_over(server) == []


def test_two_databases_of_one_server_settle_in_one_script(start: Start, tmp_path: Path) -> None:
    server = start()
    results = server.url.removesuffix("0") + "3"
    project = RedisProject(tmp_path, server.url, results)
    with project.worker("-c 1") as worker, redis.Redis(port=server.port) as client:
        project.send("empty").get(timeout=10)
        with client.monitor() as monitor:
            result = project.send("step", "a", link=project.app.signature("faults_app.follow", ("a",)))
            assert result.get(timeout=10)
            wait_until(lambda: project.count("end")["a+"])
            client.set("end", 1)
            scripts = scripts_of(monitor)
        client.delete("end")
        assert worker.stop() == 0
    project.app.close()
    key = f"celery-task-meta-{result.id}"
    (settled,) = [commands for commands in scripts if any(key in words and "SET" in words for _, words in commands)]
    assert any(db == 3 and words.startswith(f"SET {key} ") for db, words in settled), "the result in its database"
    assert any(db == 0 and words.startswith("HDEL skirret:held:") for db, words in settled), "the acknowledgement"
    assert any(db == 0 and words.startswith("LPUSH celery ") for db, words in settled), "the successor"
    assert left_over(server) == []
    assert left_over(server, db=3) == []


def scripts_of(monitor: redis.client.Monitor) -> list[list[tuple[int, str]]]:
    """The commands of each script, with their databases, until somebody sets ``end``."""
    scripts: list[list[tuple[int, str]]] = []
    for told in monitor.listen():
        words = told["command"]
        if words.startswith("SET end"):
            return scripts
        if told["client_type"] == "lua":
            name, _, rest = words.partition(" ")
            scripts[-1].append((told["db"], f"{name.upper()} {rest}"))
        else:
            scripts.append([])
    raise AssertionError


def test_outcomes_wait_for_a_result_store_that_is_away_and_work_stops_meanwhile(start: Start, tmp_path: Path) -> None:
    broker, results = start(*SAFE), start(*SAFE)
    project = RedisProject(tmp_path, broker.url, results.url)
    with project.worker("-c 2") as worker:
        with project.producer(100.0):
            wait_until(lambda: len(project.count("end")) > 20)
            results.kill()
            time.sleep(1.0)
            before = sum(project.count("start").values())
            time.sleep(3.0)
            begun = sum(project.count("start").values()) - before
            results.start()
            back = time.monotonic()
            took = wait_until(lambda: project.consumes_since(back), 20.0)
        project.settle_down()
        assert worker.stop() == 0
        said = worker.said()
    print(f"consuming again {took:.3f} s after the result store was back; {begun} tasks began while it was away")
    assert took <= 5.0
    assert begun <= 8, "each child may be ahead by 10 ms of work whose outcomes are not safe"
    assert said.count("ERROR") <= 3, said
    verdict = project.judge()
    project.app.close()
    assert not verdict.lost, verdict
    assert verdict.again == 0, verdict
    assert left_over(broker) == []


def test_a_worker_that_starts_before_its_servers_waits_for_them(start: Start, tmp_path: Path) -> None:
    broker, results = start(), start()
    project = RedisProject(tmp_path, broker.url, results.url)
    broker.kill()
    results.kill()
    with running("skirret -A faults_app worker -c 1 -l INFO", project.directory, project.env) as worker:
        worker.wait_until_it_says("Trouble with a server")
        broker.start()
        time.sleep(0.5)
        results.start()
        result = project.send("empty")
        back = time.monotonic()
        result.get(timeout=10)
        assert time.monotonic() - back <= 5.0
        assert worker.stop() == 0
    project.app.close()
