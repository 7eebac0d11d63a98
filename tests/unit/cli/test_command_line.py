"""What holds for the command line as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from skirret import errors
from skirret.cli import exits
from skirret.cli.parameters import Option
from skirret.cli.root import COMMANDS, root
from skirret.cli.session import Session

READING = [["config", "show"], ["dead", "list"], ["dead", "show"], ["queues"], ["report"], ["result"]]


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*path, name))


EVERYTHING = list(walk(root))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_of_a_command_what_the_command_tells_of_itself(name):
    assert root.get_command(click.Context(root), name).short_help == COMMANDS[name][1]


@pytest.mark.parametrize(
    "path, command", EVERYTHING, ids=lambda value: " ".join(value) or "skirret" if isinstance(value, tuple) else ""
)
def test_every_option_is_explained_with_its_setting_and_its_variables(path, command):
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        assert parameter.help, f"{path} {parameter.name} has no help"
        if isinstance(parameter, Option) and parameter.setting:
            assert f"setting: {parameter.setting}" in parameter.help
        for variable in parameter.envvar or []:
            assert variable in parameter.help


@pytest.mark.parametrize("path", READING, ids=" ".join)
def test_every_command_that_reads_can_print_json(path):
    (command,) = [command for found, command in EVERYTHING if list(found) == path]
    assert any("--json" in parameter.opts for parameter in command.params)


def test_the_settings_that_options_name_exist():
    from skirret.settings.table import OPTIONS

    named = {p.setting for _, command in EVERYTHING for p in command.params if isinstance(p, Option) and p.setting}
    assert named <= set(OPTIONS)


def test_help_imports_neither_rich_nor_the_app_nor_any_command():
    program = (
        "import sys\nfrom skirret.cli import main\nassert main(['--help']) == 0\n"
        "heavy = ('rich', 'msgspec', 'skirret.app', 'skirret.worker', 'skirret.demo')\n"
        "bad = [m for m in sys.modules if m.startswith(heavy)]\n"
        "bad += [m for m in sys.modules if m in {'skirret.cli.demo', 'skirret.cli.worker', 'skirret.cli.call'}]\n"
        "print(bad, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


def test_a_misspelt_command_is_answered_with_the_near_one(cli):
    done = cli("wroker")
    assert done.exit_code == exits.USAGE
    assert "There is no command 'wroker'. Did you mean 'worker'?" in done.output


def test_a_misspelt_command_of_a_group_is_answered_with_the_near_one(cli):
    done = cli("dead", "lst")
    assert done.exit_code == exits.USAGE
    assert "There is no command 'lst'. Did you mean 'list'?" in done.output


def test_a_command_that_resembles_none_is_answered_with_where_they_are_listed(cli):
    assert "`skirret dead --help` lists them." in cli("dead", "xyzzy").output


def test_a_misspelt_option_is_answered_with_the_near_one(cli):
    done = cli("worker", "--concurency", "3")
    assert done.exit_code == exits.USAGE
    assert "--concurrency" in done.output


def test_a_misspelt_choice_is_answered_with_the_near_one(cli):
    done = cli("worker", "--pool", "thread")
    assert done.exit_code == exits.USAGE
    assert "Did you mean 'threads'?" in done.output


def test_the_version_is_printed(cli):
    done = cli("--version")
    assert done.exit_code == 0
    assert done.output.startswith("skirret 0.")


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.ImproperlyConfigured("broker_url: no such scheme"), 78),
        (errors.MissingDependency('pip install "skirret[redis]"'), 78),
        (errors.OperationalError("cannot reach redis://h"), 69),
        (errors.BackendError("cannot read"), 69),
        (errors.CapabilityError("SQS cannot purge"), 69),
        (errors.TimeoutError("not ready"), 75),
        (errors.ContentDisallowed("pickle"), 65),
        (errors.EncodeError("no JSON"), 65),
        (errors.NotRegistered("tasks.ad"), 65),
        (errors.Reject("odd place"), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_ours_is_one_block_without_traceback_and_has_its_exit_code(cli, monkeypatch, error, code):
    monkeypatch.setattr(Session, "app", lambda self: (_ for _ in ()).throw(error))
    done = cli("queues", "--json")
    assert done.exit_code == code
    assert done.stdout == ""
    assert done.stderr.startswith("Error (")
    assert str(error.args[0]) in done.stderr
    assert "What to do: " in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unforeseen_error_is_told_as_a_bug_with_its_traceback(cli, monkeypatch):
    monkeypatch.setattr(Session, "app", lambda self: 1 / 0)
    done = cli("queues")
    assert done.exit_code == exits.BUG
    assert "Traceback" in done.stderr
    assert "Error (bug): ZeroDivisionError: division by zero" in done.stderr


def test_a_broken_module_of_the_user_is_told_with_its_file_and_line(cli, tmp_path):
    (tmp_path / "broken_tasks_module.py").write_text("import os\nimport nowhere_to_be_found\n")
    done = cli("-A", "broken_tasks_module", "queues")
    assert done.exit_code == exits.CONFIG
    assert "No module named 'nowhere_to_be_found'" in done.stderr
    assert f"{tmp_path}/broken_tasks_module.py:2" in done.stderr
    assert "Traceback" not in done.stderr


def test_workdir_is_where_the_app_is_looked_for(cli, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    done = cli("--workdir", str(tmp_path / "elsewhere"), "init")
    assert done.exit_code == 0
    assert (tmp_path / "elsewhere" / "tasks.py").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(cli, shell):
    done = cli("completion", shell)
    assert done.exit_code == 0
    assert "_SKIRRET_COMPLETE" in done.output


def test_a_shell_without_completion_is_told(cli, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    done = cli("completion")
    assert done.exit_code == exits.USAGE
    assert "bash, zsh, fish" in done.output


def test_init_writes_a_module_that_is_python_and_names_the_next_command(cli, tmp_path):
    done = cli("init", "proj")
    assert done.exit_code == 0
    compile((tmp_path / "proj" / "tasks.py").read_text(), "tasks.py", "exec")
    assert "cd proj && skirret -A tasks worker" in done.stdout


def test_init_never_overwrites(cli, tmp_path):
    (tmp_path / "tasks.py").write_text("mine")
    done = cli("init")
    assert done.exit_code == exits.CONFIG
    assert "was left alone" in done.stderr
    assert (tmp_path / "tasks.py").read_text() == "mine"


def test_init_refuses_a_name_that_is_no_module(cli, tmp_path):
    done = cli("init", "--name", "../evil")
    assert done.exit_code == exits.USAGE
    assert list(tmp_path.iterdir()) == []


# -- worker


@pytest.fixture
def asked(monkeypatch) -> list:
    """What the worker was asked for; it ends at once."""
    import skirret.worker

    found: list = []

    def run(options, started) -> int:
        found.append(options)
        return 0

    monkeypatch.setattr(skirret.worker, "run", run)
    return found


def test_a_worker_needs_an_app_and_the_error_names_one_that_is_here(cli, tmp_path, asked):
    (tmp_path / "tasks.py").touch()
    done = cli("worker")
    assert done.exit_code == exits.CONFIG
    assert "try: skirret -A tasks worker" in done.stderr
    assert asked == []


def test_a_worker_is_asked_for_nothing_that_was_not_said(cli, asked):
    from skirret.worker.options import WorkerOptions

    assert cli("-A", "proj", "worker").exit_code == 0
    assert asked == [WorkerOptions(app="proj")]


def test_every_flag_reaches_the_worker(cli, tmp_path, asked):
    from skirret.worker.options import WorkerOptions

    line = (
        "-A proj:app -b memory://x --result-backend memory://y --config conf -C -q worker -n w1@host -Q a,b -X c "
        "-I m1,m2 -c 3 -P threads --processes 2 -l info -f %n.log --log-json -E --time-limit 9 --soft-time-limit 8.5 "
        "--max-tasks-per-child 7 --prefetch-multiplier 2 --grace 4 --purge --disable-prefetch --autoscale 3,10 "
        "--max-memory-per-child 5000 --pool-start-method spawn --without-heartbeat --heartbeat-interval 5 -B "
        "-s when.db --scheduler a.B -S state.db --pidfile %n.pid --uid 1 --gid 2 --umask 027"
    )
    assert cli(*line.split()).exit_code == 0
    assert asked == [
        WorkerOptions(
            app="proj:app", broker="memory://x", result_backend="memory://y", config="conf", color=False, quiet=True,
            hostname="w1@host", queues=["a", "b"], exclude=["c"], include=["m1", "m2"], concurrency=3, pool="threads",
            processes=2, loglevel="INFO", logfile=str(tmp_path / "%n.log"), log_json=True, task_events=True,
            time_limit=9.0, soft_time_limit=8.5, max_tasks_per_child=7, prefetch_multiplier=2, grace=4.0, purge=True,
            disable_prefetch=True, autoscale=(10, 3), max_memory_per_child=5000, pool_start_method="spawn",
            without_heartbeat=True, heartbeat_interval=5.0, beat=True, schedule="when.db", scheduler="a.B",
            statedb="state.db", pidfile=str(tmp_path / "%n.pid"), uid="1", gid="2", umask="027",
        )
    ]  # fmt: skip


def test_the_environment_speaks_where_the_command_line_is_silent(cli, asked):
    done = cli(
        "worker",
        "-c",
        "2",
        env={
            "CELERY_APP": "proj",
            "SKIRRET_WORKER_QUEUES": "x,y",
            "CELERY_WORKER_CONCURRENCY": "9",
            "CELERY_WORKER_POOL": "solo",
        },
    )
    assert done.exit_code == 0
    (options,) = asked
    assert (options.app, options.queues, options.concurrency, options.pool) == ("proj", ["x", "y"], 2, "solo")


def test_skirrets_variable_wins_over_celerys(cli, asked):
    cli("worker", env={"CELERY_APP": "theirs", "SKIRRET_APP": "ours", "APP": "other"})
    assert asked[0].app == "ours"


@pytest.mark.parametrize("line", ["-O fair", "--without-gossip --without-mingle", "-c auto", "-P processes"])
def test_start_scripts_made_for_celery_go_on_working(cli, asked, line):
    assert cli("-A", "proj", "worker", *line.split()).exit_code == 0
    assert asked[0].concurrency is None
    assert asked[0].pool in {None, "prefork"}


@pytest.mark.parametrize(
    "line", ["-c 0", "-c many", "--time-limit 0", "--grace -1", "-l loud", "--autoscale 3,x", "--autoscale 0"]
)
def test_values_that_cannot_be_are_refused(cli, asked, line):
    done = cli("-A", "proj", "worker", *line.split())
    assert done.exit_code == exits.USAGE
    assert asked == []


def test_the_workers_exit_code_is_ours(cli, monkeypatch):
    import skirret.worker

    monkeypatch.setattr(skirret.worker, "run", lambda options, started: 69)
    assert cli("-A", "proj", "worker").exit_code == 69


def test_json_says_nothing_but_data_on_stdout(cli, monkeypatch):
    class Broker:
        def names(self):
            return []

        def dead(self, queue, limit):
            return []

    class App:
        broker = Broker()

    monkeypatch.setattr(Session, "app", lambda self: App())
    assert json.loads(cli("dead", "list", "--json").stdout) == []
    assert cli("dead", "list").stdout == ""
