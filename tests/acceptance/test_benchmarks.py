"""The benchmarks run and tell figures; what the figures are is nobody's promise here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.compare import BEGIN, END, PAGE, put
from benchmarks.drain import rate_of
from benchmarks.peers import ENTRIES
from benchmarks.plan import BACKLOGS, Backlog, Plan
from benchmarks.report import as_page, best_peer, full_rows, ratio, summary_rows
from benchmarks.sample import Failure, Quantity, Sample, medians, percentile, times_better
from benchmarks.work import calls, mean_milliseconds
from tests.servers.rabbitmq_programs import rabbitmq

ROOT = Path(__file__).parents[2]
needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *options]
    # Wide enough that no name of a figure is broken over two lines, however long the figures beside it are.
    env = {**os.environ, "COLUMNS": "240"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=170, check=False)


def test_a_small_run_on_the_embedded_file_tells_every_figure_as_json():
    done = bench("embedded", "--json", "--tasks", "2000", "--calls", "50", "--idle", "0.5")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["machine"]["cores"] >= 1
    figures = {figure["name"]: figure["value"] for figure in told["figures"]}
    assert len(figures) == 12
    assert figures["drain, 2 children"] > 0
    assert figures["idle round trip delay().get(), p50"] > 0


@needs_redis
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_quick_comparison_tells_every_figure_of_skirret_and_the_floor(tmp_path: Path):
    file, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    done = bench("--quick", "--only", "skirret,floor", "--json", str(file), "--chart", str(chart))
    assert done.returncode == 0, done.stderr
    assert "drain, no-op" in done.stdout
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["failures"] == []
    assert told["about"]["versions"]["skirret"]["redis"]
    found = {figure["name"]: figure["medians"] for figure in told["figures"]}
    assert found["drain, no-op"]["skirret"] > 0
    assert found["drain, 100 KiB"]["floor"] > 0, "the floor is not wedged by large results"
    for name in (
        "single enqueue, 1 KiB",
        "bulk enqueue, no arguments",
        "idle round trip, p99",
        "bare redis-py LPUSH",
        "memory of the worker (PSS)",
        "server memory per queued task",
        "idle worker, server commands",
    ):
        assert "skirret" in found[name]
    assert ET.fromstring(chart.read_text(encoding="utf-8")).tag.endswith("svg")


@needs_redis
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_quick_run_measures_celery_where_it_is_installed():
    done = bench("--quick", "--only", "celery", "--parts", "drain", "--drains", "1 KiB", "--json", "-")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failures"] == []
    assert told["samples"][0]["quantity"] == "drain, 1 KiB"


@needs_redis
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_quick_run_on_rabbitmq_measures_what_is_installed_on_both_kinds_of_queue():
    rabbitmq()
    done = bench("rabbitmq", "--quick", "--only", "celery,celery_quorum", "--drains", "1 KiB", "--json", "-")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["failures"] == []
    assert told["about"]["rabbitmq"].startswith(("3.", "4."))
    found = {figure["name"]: figure["medians"] for figure in told["figures"]}
    assert found["drain, 1 KiB"].keys() == {"celery", "celery_quorum"}
    assert found["bulk enqueue, 100 KiB"].keys() == {"celery", "celery_quorum"}
    assert "idle worker, server commands" not in found


def test_a_queue_that_cannot_use_rabbitmq_is_refused_there():
    done = bench("rabbitmq", "--only", "rq")
    assert done.returncode == 2
    assert "celery_quorum" in done.stderr


def test_a_queue_that_nobody_knows_is_refused_with_the_names_there_are():
    done = bench("--only", "selery")
    assert done.returncode == 2
    assert "selery" in done.stderr
    assert "celery-threads" in done.stderr


def test_every_queue_has_a_lock_that_names_versions_and_hashes_and_no_server():
    for entry in ENTRIES.values():
        lock = (ROOT / "benchmarks" / "requirements" / f"{entry.environment}.txt").read_text(encoding="utf-8")
        assert "--hash=sha256:" in lock
        assert "://" not in lock
        assert "index-url" not in lock


DRAIN = Quantity("drain", "tasks/s")
TOOK = Quantity("took", "ms", more_is_better=False)


def test_the_best_peer_is_the_fastest_or_the_shortest_and_never_ourselves_or_the_floor():
    by_peer = {"skirret": 9.0, "floor": 99.0, "celery": 1.0, "huey": 3.0}
    assert best_peer(DRAIN, by_peer) == "huey"
    assert best_peer(TOOK, by_peer) == "celery"
    assert best_peer(DRAIN, {"skirret": 1.0, "floor": 2.0}) is None


def test_a_ratio_says_how_many_times_better_we_are_whichever_way_better_is():
    assert times_better(DRAIN, 40, 10) == 4
    assert times_better(TOOK, 10, 40) == 4
    assert ratio(TOOK, {"skirret": 8.0, "celery": 4.0}, "celery") == 0.5
    assert ratio(DRAIN, {"celery": 4.0}, "celery") is None


def test_tables_show_medians_of_the_rounds_and_leave_out_what_was_not_measured():
    samples = [Sample(turn, "skirret", DRAIN, value) for turn, value in enumerate([10.0, 1000.0, 20.0], 1)]
    samples += [Sample(1, "huey", DRAIN, 5.0), Sample(1, "huey", TOOK, 2.0)]
    found = medians(samples)
    assert found[DRAIN] == {"skirret": 20.0, "huey": 5.0}
    row, other = summary_rows(found)
    assert row == ["drain, tasks/s", "20.0", "", "", "", "huey 5.00", "4.00x", ""]
    assert other[1] == ""
    assert full_rows(found, ["skirret", "huey"])[1] == ["took, ms", "", "2.00"]


def test_a_percentile_is_one_of_the_values():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0
    assert percentile(list(range(100)), 0.99) == 99


def test_backlogs_last_about_as_long_for_a_slow_queue_as_for_a_fast_one():
    plan = Plan(seconds=10)
    headline = BACKLOGS[0]
    assert plan.length(headline, 400) == 4000
    assert plan.length(headline, 20_000) == 200_000
    assert plan.length(headline, 1e9) == plan.most_tasks
    assert plan.length(Backlog("10 ms", kind="10"), 1e9) == pytest.approx(plan.seconds / 3 * 200, abs=1)
    assert Plan(tasks=7).length(headline, 1.0) == 7


def test_mixed_tasks_are_mostly_nothing_and_now_and_then_slow():
    mixed = list(calls(40, 0, "mixed"))
    assert mixed.count(()) == 34
    assert mixed.count(("", 10.0)) == 2
    assert mean_milliseconds("mixed") == pytest.approx(0.6)
    assert list(calls(2, 3, "none")) == [("xxx",)] * 2
    assert list(calls(1, 0, "1")) == [("", 1.0)]


def test_the_headline_drain_comes_first_because_the_others_are_sized_by_it():
    assert BACKLOGS[0].headline
    assert [backlog.headline for backlog in BACKLOGS].count(True) == 1
    assert rate_of(BACKLOGS[0]).budget


def test_figures_replace_the_earlier_ones_on_the_page_and_nothing_else():
    page = f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\n## After\n"
    assert put(page, "new\n") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\n## After\n"
    assert PAGE.read_text(encoding="utf-8").count(BEGIN) == 1
    assert PAGE.read_text(encoding="utf-8").count(END) == 1


def test_the_page_tells_medians_conditions_and_what_failed():
    samples = [Sample(1, "skirret", DRAIN, 20.0), Sample(1, "huey", DRAIN, 5.0)]
    about = {"load_before": 0.1, "versions": {"huey": {"huey": "3.5.4", "redis": "8.1.0"}}}
    page = as_page(about, samples, [Failure(1, "saq", "drain, no-op", "only 99 of 100 results are right")])
    assert "| drain, tasks/s | 20.0 | 5.00 |" in page
    assert "load before 0.1" in page
    assert "huey 3.5.4 (redis 8.1.0)" in page
    assert "- Round 1, saq, drain, no-op: only 99 of 100 results are right" in page
