"""A pool that an installed package brings is asked for by name; a class of Celery's pools is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from skirret import Skirret
from tests.acceptance.processes import run, running

POOL = """
import os
from skirret.worker.child.slots import single

def serve(executor, link, slots):
    os.environ["BOXED"] = "yes"
    single.serve(executor, link, slots)
"""
APP = """
import os
from skirret import Skirret

app = Skirret("boxed")

@app.task
def look():
    return os.environ.get("BOXED"), os.getpid()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a package beside it, as pip would have installed it."""
    told = tmp_path / "boxes-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: boxes\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[skirret.pools]\nboxed = boxes:serve\n")
    (tmp_path / "boxes.py").write_text(POOL)
    (tmp_path / "tasks.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("asked", ["-P boxed", "by the setting"])
def test_a_pool_of_a_package_serves_its_children(project: Path, asked: str) -> None:
    url = f"sqlite:///{project / 'queue.sqlite3'}"
    env = {"PYTHONPATH": str(project), "SKIRRET_BROKER_URL": url, "SKIRRET_RESULT_BACKEND": url}
    if asked == "by the setting":
        (project / "tasks.py").write_text(f'{APP}app.conf.worker_pool = "boxed"\n')
        asked = ""
    with (
        Skirret("asks", broker=url, backend=url, set_as_current=False) as app,
        running(f"skirret -A tasks worker -l info -c 2 {asked}", project, env) as worker,
    ):
        worker.wait_until_it_says("ready.", 30.0)
        found = [app.send_task("tasks.look").get(timeout=20) for _ in range(3)]
        assert {boxed for boxed, _ in found} == {"yes"}
        assert worker.pid not in {pid for _, pid in found}
        (stats,) = app.control.inspect().stats().values()
        assert stats["pool"]["implementation"].endswith("boxed")
        assert len(stats["pool"]["processes"]) == 2
        assert worker.stop() == 0


@pytest.mark.parametrize("asked", ["custom", "boxes:Pool", "celery.concurrency.prefork:TaskPool"])
def test_a_class_of_celerys_pools_is_refused_in_words(project: Path, asked: str) -> None:
    env = {"PYTHONPATH": str(project), "CELERY_CUSTOM_WORKER_POOL": "boxes:Pool"}
    status, said = run(f"skirret -A tasks worker -P {asked}", project, env)
    assert status == 2
    assert f"{asked!r} is no pool" in said
    assert "skirret.pools" in said
