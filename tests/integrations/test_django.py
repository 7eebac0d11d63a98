"""Django projects with real workers: the example, a project without an app of its own, Django's own tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.processes import run, running
from tests.integrations.programs import EXAMPLES, PYTHON, copied, well, worker
from tests.servers.rabbitmq_servers import RabbitServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HERE = Path(__file__).parent
WORKER = "manage.py skirret worker -l info"
CLIENT = """
import os, sys, time, warnings
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
warnings.simplefilter("ignore")
import django
django.setup()
from django.db import transaction
from django.test import Client
from orders.models import Order
from orders.tasks import ship
client = Client()
with transaction.atomic():
    order = Order.objects.create(item="regretted")
    ship.delay_on_commit(order.pk)
    ship.apply_async_on_commit((order.pk,), countdown=0)
    transaction.set_rollback(True)
number = client.post("/orders/", {"item": "root"}).json()["number"]
deadline = time.monotonic() + 20
while client.get(f"/orders/{number}/").json()["shipped"] is None:
    assert time.monotonic() < deadline
    time.sleep(0.02)
print("shipped", client.get(f"/orders/{number}/").json()["item"])
"""


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that makes no app of its own."""
    return copied(HERE / "django_project", tmp_path / "project")


def ask(directory: Path, *calls: str) -> list[str]:
    """The values of tasks, called one after another from a program of the project."""
    program = f"""
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
from jobs import tasks
for call in {calls!r}:
    print("=", getattr(tasks, call).delay().get(timeout=20))
"""
    (directory / "ask.py").write_text(program)
    return [line[2:] for line in well("ask.py", directory).splitlines() if line.startswith("= ")]


def test_the_example_ships_an_order_once_it_is_committed(tmp_path: Path) -> None:
    directory = copied(EXAMPLES / "django", tmp_path / "example")
    assert "OK" in well("manage.py test", directory)
    well("manage.py migrate", directory)
    (directory / "client.py").write_text(CLIENT)
    with worker(f"{WORKER} -c 1", directory) as program:
        assert "shipped root" in well("client.py", directory)
        assert program.said().count("orders.tasks.ship") >= 1
        assert "DoesNotExist" not in program.said(), "what was rolled back was not sent"
        assert program.stop() == 0


@pytest.mark.parametrize("pool", ["prefork -c 1", "threads -c 1", "asyncio -c 1", "gevent -c 4"])
def test_connections_are_closed_around_tasks_and_forks(project: Path, pool: str) -> None:
    with worker(f"{WORKER} -P {pool}", project):
        answers = [eval(line) for line in ask(project, "ask", "ask", "aask", "aask")]
        assert [before for before, *_ in answers] == [False] * 4, answers


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_a_connection_that_may_grow_old_is_kept(project: Path, pool: str) -> None:
    with worker(f"{WORKER} -P {pool} -c 1", project, MAX_AGE="600"):
        answers = [eval(line) for line in ask(project, "ask", "ask", "ask")]
    assert [before for before, *_ in answers] == [False, True, True]
    assert answers[-1][2] == 1


def test_a_project_without_an_app_has_one_with_its_settings_and_tasks(project: Path) -> None:
    with worker(f"{WORKER} -c 1", project) as program:
        assert ask(project, "who") == ["['DjangoTask', 40, 32400]"]
        assert "from-celery" in program.said()
    assert (project / ".skirret").is_dir(), "web server and worker meet beside manage.py"


def test_a_worker_starts_only_if_the_projects_checks_pass(project: Path) -> None:
    env = {"UNSOUND": "yes"}
    status, said = run(f"{PYTHON} manage.py skirret worker", project, env)
    assert status == 78
    assert "the roof leaks" in said
    assert "Traceback" not in said
    with running(f"{PYTHON} manage.py skirret --skip-checks worker -l info -c 1", project, env) as program:
        program.wait_until_it_says("ready", timeout=30)


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_djangos_own_tasks_run_in_our_workers(project: Path, pool: str) -> None:
    with worker(f"{WORKER} -P {pool} -c 2 -Q from-celery,other", project):
        said = well("native_client.py", project)
        assert "all well" in said


def test_djangos_own_tasks_run_where_no_result_can_be_read_and_say_so(
    project: Path, rabbitmq: RabbitServer, rabbitmq_host: str
) -> None:
    """Results of rpc:// are messages to who sent the task, and Django reads them from any process."""
    env = {"SKIRRET_BROKER_URL": rabbitmq.url_of(rabbitmq_host), "SKIRRET_RESULT_BACKEND": "rpc://"}
    program = f"""
import os, django
os.environ |= {{"DJANGO_SETTINGS_MODULE": "config.settings", **{env!r}}}
django.setup()
from jobs import native
from skirret.integrations.django.tasks_api import TaskResultDoesNotExist, task_backends
backend = task_backends["default"]
sent = native.add.enqueue(2, y=3)
try:
    backend.get_result(sent.id)
except TaskResultDoesNotExist:
    print("readable:", backend.supports_get_result)
"""
    (project / "sender.py").write_text(program)
    with worker(f"{WORKER} -c 1", project, **env) as running_worker:
        assert "readable: False" in well("sender.py", project)
        running_worker.wait_until_it_says("succeeded", timeout=20)
        assert "ERROR" not in running_worker.said()
