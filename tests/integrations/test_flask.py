"""The Flask example with a real worker, and the application's context around tasks."""

from __future__ import annotations

from pathlib import Path

import flask
import pytest

from skirret.integrations.flask import FlaskSkirret, settings_of
from skirret.testing.worker import worker as worker_here
from tests.integrations.programs import EXAMPLES, copied, its_tests_pass, well, worker

CLIENT = """
import time
from reports import create_app
client = create_app().test_client()
answer = client.post("/reports/", data={"words": "a b a"})
deadline = time.monotonic() + 20
while (report := client.get(answer.headers["Location"])).status_code == 202:
    assert time.monotonic() < deadline
    time.sleep(0.02)
print(report.json)
"""


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_example_writes_a_report_in_the_applications_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    directory = copied(EXAMPLES / "flask", tmp_path / "example")
    if pool == "prefork":
        its_tests_pass(directory)
    (directory / "client.py").write_text(CLIENT)
    with worker(f"-m skirret -A serve worker -l info -c 1 -P {pool}", directory) as program:
        assert "{'report': {'counts': {'a': 2, 'b': 1}, 'title': 'Words'}, 'state': 'SUCCESS'}" in well(
            "client.py", directory
        )
        assert program.stop() == 0


def test_settings_come_from_the_configuration_of_the_application():
    config = {
        "CELERY": {"task_time_limit": 5, "task_acks_late": True},
        "SKIRRET": {"task_time_limit": 6},
        "SKIRRET_TASK_ACKS_LATE": False,
        "SECRET_KEY": "x",
    }
    assert settings_of(config) == {"task_time_limit": 6, "task_acks_late": False}
    program = flask.Flask("program")
    program.config.update(config)
    app = FlaskSkirret(program, broker="memory://", set_as_current=False)
    assert app.conf.task_time_limit == 6
    assert app.main == "program"
    assert program.extensions["skirret"] is app


@pytest.mark.parametrize("pool", ["solo", "asyncio"])
def test_each_run_has_a_context_of_its_own_and_eager_runs_keep_the_callers(pool: str):
    program = flask.Flask("contexts")
    app = FlaskSkirret(broker="memory://", backend="memory://", set_as_current=False)
    app.init_app(program)

    @app.task
    def seen():
        flask.g.count = flask.g.get("count", 0) + 1
        return [flask.current_app.name, flask.g.count]

    @app.task
    async def aseen():
        flask.g.count = flask.g.get("count", 0) + 1
        return [flask.current_app.name, flask.g.count]

    with worker_here(app, pool=pool, slots=1):
        for task in (seen, aseen, seen):
            assert task.delay().get(timeout=20) == ["contexts", 1]
    assert seen() == ["contexts", 1], "called like a function"
    with program.app_context():
        flask.g.count = 10
        assert seen.apply().get() == ["contexts", 11]
        assert flask.g.count == 11
    app.close()
