from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import zlib
from multiprocessing import get_context
from pathlib import Path

import pytest

from skirret.demo import ledger as ledgers
from skirret.demo.chaos import SCHEDULE, Chaos
from skirret.demo.files import select, standard_library
from skirret.demo.measure import CHUNK, LONGEST_LINE, measure
from skirret.demo.processes import Worker, WorkerFailed, members
from skirret.demo.verdict import add_up, prove


def poll(condition, seconds: float = 10.0):
    """The condition's value as soon as it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return found


# -- measure


def test_a_file_is_measured(tmp_path):
    path = tmp_path / "a.py"
    text = b"import os\nname = os.name\nprint(name, other)\n"
    path.write_bytes(text)
    facts = measure(str(path))
    assert facts == {
        "path": str(path),
        "size": len(text),
        "lines": 3,
        "words": 7,
        "sha256": hashlib.sha256(text).hexdigest(),
        "compressed": len(zlib.compress(text)),
        "ratio": round(len(text) / len(zlib.compress(text)), 3),
        "identifiers": [["name", 3], ["os", 2], ["other", 1], ["print", 1]],
    }


def test_names_in_comments_and_strings_of_python_files_do_not_count(tmp_path):
    text = 'name = other  # comment here\nrb"bytes here" + f\'it\\\'s here\' + """two\nlines here""" + other\n'
    for suffix, expected in ((".py", {"name": 1, "other": 2}), (".txt", {"here": 4})):
        path = tmp_path / f"a{suffix}"
        path.write_text(text)
        assert expected.items() <= dict(measure(str(path))["identifiers"]).items()
    assert dict(measure(str(tmp_path / "a.py"))["identifiers"]) == {"name": 1, "other": 2}


def test_an_empty_file_is_measured(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    facts = measure(str(path))
    assert (facts["size"], facts["lines"], facts["words"], facts["identifiers"]) == (0, 0, 0, [])


def test_words_are_not_cut_where_a_chunk_ends(tmp_path):
    path = tmp_path / "big"
    line = b"some words here and_an_identifier\n"
    text = line * (CHUNK * 2 // len(line) + 10)
    path.write_bytes(text)
    facts = measure(str(path))
    assert facts["words"] == len(text.split())
    assert facts["lines"] == text.count(b"\n")
    assert facts["sha256"] == hashlib.sha256(text).hexdigest()
    assert dict(facts["identifiers"])["and_an_identifier"] == text.count(b"and_an_identifier")


def test_a_binary_file_without_lines_needs_no_memory_for_them(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"\0abcdefg" * (CHUNK // 4))
    facts = measure(str(path))
    assert facts["size"] == CHUNK * 2
    assert facts["identifiers"] == []
    assert LONGEST_LINE < CHUNK


# -- files


def test_hidden_directories_byte_code_links_and_unreadable_names_are_left_out(tmp_path):
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name in ("b.txt", "pkg/a.py", "pkg/__pycache__/a.pyc", ".git/config"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "b.txt")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")).write_text("x")
    selection = select(tmp_path)
    assert selection.paths == [str(tmp_path / "b.txt"), str(tmp_path / "pkg" / "a.py")]
    assert selection.skipped == 3


def test_the_default_is_the_sources_of_this_python():
    selection = select(None, 50)
    assert selection.directory == standard_library().resolve()
    assert len(selection.paths) == 50
    assert all(path.endswith(".py") for path in selection.paths)


# -- ledger


def _write_many(path: str, name: str) -> None:
    for number in range(200):
        ledgers.write(path, ledgers.MEASURED, f"{name}-{number}", 0, "d")


def test_lines_of_several_processes_do_not_mix(tmp_path):
    path = str(tmp_path / "ledger")
    context = get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    account = ledgers.read(path)
    assert len(account.measured) == 400
    assert account.torn == 0
    assert account.processes == {writer.pid for writer in writers}


def test_a_line_that_a_kill_cut_short_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "ledger"
    ledgers.write(str(path), ledgers.MEASURED, "one", 0, "d")
    path.write_bytes(path.read_bytes() + b'\n["measured", "two"')
    ledgers.write(str(path), ledgers.MEASURED, "three", 0, "d")
    account = ledgers.read(str(path))
    assert set(account.measured) == {"one", "three"}
    assert account.torn == 1


def test_the_account_counts_repeats_and_runs_that_were_cut_off(tmp_path):
    path = str(tmp_path / "ledger")
    for event, name in [
        (ledgers.STARTED, "a"),
        (ledgers.FAILED_ON_PURPOSE, "a"),
        (ledgers.STARTED, "a"),
        (ledgers.MEASURED, "a"),
        (ledgers.STARTED, "b"),
        (ledgers.STARTED, "b"),
        (ledgers.MEASURED, "b"),
        (ledgers.STARTED, "b"),
        (ledgers.MEASURED, "b"),
    ]:
        ledgers.write(path, event, name, 0)
    account = ledgers.read(path)
    assert account.repeated == 1
    assert account.cut_off == 1


# -- verdict


def facts(path: str, **more) -> dict:
    return {
        "path": path,
        "size": 10,
        "lines": 1,
        "words": 2,
        "sha256": "d" + path,
        "compressed": 5,
        "ratio": 2.0,
        "identifiers": [["x", 2]],
        **more,
    }


def account_of(*paths: str) -> ledgers.Account:
    account = ledgers.Account()
    for path in paths:
        account.started[path] += 1
        account.measured[path] += 1
        account.digests.setdefault(path, set()).add("d" + path)
    return account


def test_the_count_is_proven_when_ledger_results_and_own_measurements_agree():
    results = {path: facts(path, attempts=1) for path in "abc"}
    proof = prove(list("abc"), results, account_of("a", "b", "b", "c"), {"b": facts("b")})
    assert proof.holds
    assert proof.repeated == 1
    assert proof.verified == 1


@pytest.mark.parametrize(
    "results, measured, own",
    [
        ({"a": facts("a")}, "ab", {}),
        ({"a": facts("a"), "b": facts("b")}, "a", {}),
        ({"a": facts("a"), "b": facts("b", sha256="other")}, "ab", {}),
        ({"a": facts("a"), "b": facts("a")}, "ab", {}),
        ({"a": facts("a"), "b": facts("b")}, "ab", {"b": facts("b", words=3)}),
    ],
    ids=["no result", "not in the ledger", "another digest", "another file's result", "measured otherwise"],
)
def test_the_count_is_not_proven_when_anything_disagrees(results, measured, own):
    assert not prove(["a", "b"], results, account_of(*measured), own).holds


def test_a_process_left_behind_spoils_the_proof():
    proof = prove(["a"], {"a": facts("a")}, account_of("a"), {})
    proof.left_behind = 1
    assert not proof.holds


def test_totals_are_sums_with_the_largest_first():
    totals = add_up({"a": facts("a", size=5), "b": facts("b", size=50, identifiers=[["y", 3], ["x", 1]])})
    assert (totals.files, totals.bytes, totals.lines, totals.words, totals.compressed) == (2, 55, 2, 4, 10)
    assert [f["path"] for f in totals.largest] == ["b", "a"]
    assert totals.identifiers == [("x", 3), ("y", 3)]


# -- chaos


class FakeWorker:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.up: list[int] = []

    def kill(self) -> None:
        self.log.append("kill")

    def start(self) -> None:
        self.log.append("start")

    def children(self) -> list[int]:
        return self.up


def test_strikes_follow_the_progress_and_all_fall_before_the_end():
    chaos = Chaos(1000)
    struck, sent = [], 0
    for done in range(1000):
        while sent < 1000 and chaos.may_send(sent):
            sent += 10
        assert sent > done, "the demo would wait for work that it may not send"
        while target := chaos.due(done):
            struck.append(target)
            chaos._next += 1
    assert struck == [target for _, target in SCHEDULE]
    assert struck.count("worker") >= 2


def test_a_killed_worker_is_started_again():
    worker = FakeWorker()
    chaos = Chaos(10, schedule=((0.1, "worker"),))
    assert not chaos.strike(worker, 0)
    assert chaos.strike(worker, 1)
    assert worker.log == ["kill", "start"]
    assert chaos.workers == 1


def test_a_strike_waits_until_the_worker_is_up():
    chaos = Chaos(10, schedule=((0.1, "child"),))
    worker = FakeWorker()
    assert not chaos.strike(worker, 5)
    worker.up = [os.getpid()]
    assert not chaos.strike(worker, 5)
    assert chaos.due(5) == "child"


# -- processes


def fake_worker(tmp_path: Path, monkeypatch, program: str) -> Worker:
    """A Worker whose command is a Python program."""
    path = tmp_path / "program.py"
    path.write_text(program)
    worker = Worker([], tmp_path, tmp_path / "log", {})
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: real([sys.executable, str(path)], **options))
    return worker


WITH_CHILDREN = """
import subprocess, sys, time
child = "import time; print('up', flush=True); time.sleep(600)"
for own_group in (False, True):
    subprocess.Popen([sys.executable, "-c", child], start_new_session=own_group)
time.sleep(600)
"""


def test_children_are_found_and_none_is_left_behind(tmp_path, monkeypatch):
    worker = fake_worker(tmp_path, monkeypatch, WITH_CHILDREN)
    worker.start()
    poll(lambda: (tmp_path / "log").read_text().count("up") == 2)
    children = worker.children()
    assert len(children) == 2
    assert worker.pid not in children
    for child in children:
        os.kill(child, signal.SIGKILL)
    poll(lambda: not worker.children())
    worker.stop(5)
    assert worker.sweep(1) == 0


def test_children_that_outlive_a_killed_worker_are_counted_and_killed(tmp_path, monkeypatch):
    worker = fake_worker(tmp_path, monkeypatch, WITH_CHILDREN.replace("(False, True)", "(False, False)"))
    worker.start()
    poll(lambda: (tmp_path / "log").read_text().count("up") == 2)
    worker.kill()
    assert worker.sweep(0.0) == 2
    poll(lambda: not members(worker.pid))


def test_a_worker_that_ends_by_itself_is_told_with_the_end_of_its_log(tmp_path, monkeypatch):
    worker = fake_worker(tmp_path, monkeypatch, "print('no such app'); raise SystemExit(78)")
    worker.start()

    def ended():
        try:
            worker.check()
        except WorkerFailed as exc:
            return str(exc)
        return ""

    message = poll(ended)
    assert "exit code 78" in message
    assert "no such app" in message
