"""Row F26: what cannot be imported, or is set wrongly, or is registered nowhere, leaves the running pool untouched."""

from __future__ import annotations

import pytest

from skirret.errors import NotRegistered
from tests.acceptance.faulty import is_alive, wait_until, worker_children
from tests.faults.matrix import Load, Matrix

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SPOILT = {
    "an import error": "import nowhere_to_be_found\n",
    "a syntax error": "def broken(:\n",
    "a bad setting": "app.conf.update(worker_concurrency='many')\n",
    "an unknown setting": "app.conf.update(task_acks_lat=True)\n",
}

AS_IT_WAS = "The app cannot be imported anew, so everything stays as it was"


def test_f26_a_bad_reload_under_load_leaves_the_running_pool_untouched(matrix: Matrix) -> None:
    source = matrix.directory / "matrix_app.py"
    good = source.read_text()
    matrix.env["SKIRRET_UNKNOWN_TASK_PATIENCE"] = "2"
    load = Load(count=1500, rate=60.0, low=0.005, high=0.100)
    with matrix.worker("-c 4 --reload") as worker:
        worker.wait_until_it_says("Watching")
        children = worker_children(worker.pid)[1]
        with matrix.producers(load):
            unknown = matrix.app.send_task("matrix_app.nowhere", ())
            for n, (what, text) in enumerate(SPOILT.items(), 1):
                source.write_text(good + text)
                wait_until(lambda n=n: worker.said().count(AS_IT_WAS) == n, 20.0)
                assert all(map(is_alive, children)), what
            with pytest.raises(NotRegistered):
                unknown.get(timeout=90)
            source.write_text(good + "# as it was\n")
            wait_until(lambda: not any(map(is_alive, children)), 20.0)
        matrix.settle_down(60.0)
        assert worker.stop() == 0
    dead = matrix.app.broker.dead()
    assert [letter.task_id for letter in dead] == [unknown.id]
    verdict = matrix.judge()
    print(f"F26: {len(SPOILT)} bad reloads and an unknown task under load, then a good one: {verdict}")
    assert not verdict.lost, verdict
    assert verdict.again == 0, verdict
    assert not verdict.torn, verdict
