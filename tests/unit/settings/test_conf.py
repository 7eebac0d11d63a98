"""`app.conf`: reading, writing, precedence, origins, and all faults at once."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest

from skirret.errors import ImproperlyConfigured, SkirretWarning
from skirret.settings import OPTIONS, Conf, Origin
from skirret.settings.sections import TaskSettings


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SKIRRET_", "CELERY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def settings_module(tmp_path, monkeypatch):
    """Writes a module of settings and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def write(text, name="settings_of_test"):
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_a_value_is_read_as_attribute_and_as_item():
    conf = Conf()
    assert conf.task_acks_late is True
    assert conf["task_acks_late"] is True
    assert conf.get("task_acks_late") is True
    assert "task_acks_late" in conf
    assert len(conf) == len(OPTIONS)
    assert set(conf) == set(OPTIONS)


def test_a_value_is_set_as_attribute_item_and_by_update():
    conf = Conf()
    conf.task_default_queue = "a"
    assert conf.task_default_queue == "a"
    conf["task_default_queue"] = "b"
    assert conf.task_default_queue == "b"
    conf.update({"task_default_queue": "c"}, task_time_limit="5m")
    assert (conf.task_default_queue, conf.task_time_limit) == ("c", 300)
    conf.update([("task_default_queue", "d")])
    assert conf.task_default_queue == "d"
    assert dict(conf.changes) == {"task_default_queue": "d", "task_time_limit": 300}


def test_taking_back_a_value_lets_the_next_source_count_again():
    conf = Conf()
    conf.config_from_object({"task_time_limit": 5})
    conf.task_time_limit = 9
    assert conf.pop("task_time_limit") == 9
    assert conf.task_time_limit == 5
    assert conf.pop("task_time_limit", None) is None
    with pytest.raises(KeyError):
        conf.pop("task_time_limit")
    conf.task_time_limit = 7
    del conf.task_time_limit
    assert conf.task_time_limit == 5
    conf.task_time_limit = 8
    conf.clear()
    assert conf.task_time_limit == 5


def test_an_unknown_name_that_is_read_raises_and_suggests():
    conf = Conf()
    assert not hasattr(conf, "my_own")
    assert conf.get("my_own", 3) == 3
    with pytest.raises(AttributeError, match="did you mean task_acks_late"):
        _ = conf.task_ack_late
    with pytest.raises(KeyError, match="did you mean task_acks_late"):
        _ = conf["task_ack_late"]


def test_a_setting_of_the_users_own_is_kept():
    conf = Conf()
    conf.my_own = 3
    assert conf.my_own == conf["my_own"] == 3
    assert conf.setdefault("my_other", 4) == 4
    assert conf.my_other == 4


def test_setdefault_leaves_a_known_setting_as_it_is():
    conf = Conf()
    assert conf.setdefault("task_acks_late", False) is True
    assert not conf.is_set("task_acks_late")


def test_a_misspelt_setting_is_an_error_where_it_is_set():
    conf = Conf()
    with pytest.raises(
        ImproperlyConfigured, match=r"'task_ack_late'; did you mean task_acks_late\?.*test_conf\.py:\d+"
    ):
        conf.task_ack_late = True


def test_a_misspelt_setting_is_a_warning_under_the_celery_name():
    conf = Conf(strict_unknown=False)
    with pytest.warns(SkirretWarning, match="did you mean task_acks_late"):
        conf.task_ack_late = True
    assert conf["task_ack_late"] is True


def test_a_name_beside_the_known_one_that_it_resembles_is_the_users_own():
    conf = Conf()
    conf.config_from_object({"broker_uri": "memory://x", "broker_url": "memory://x"})
    assert conf.broker_uri == "memory://x"


def test_an_update_with_faults_tells_all_of_them_and_changes_nothing():
    conf = Conf()
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.update(task_default_queue="x", task_time_limit="soon", broker_port=0, task_ack_late=True)
    told = str(caught.value)
    assert told.startswith("3 settings cannot be used:")
    for part in ("task_time_limit = 'soon'", "broker_port = 0: expected at least 1", "task_acks_late"):
        assert part in told
    assert conf.task_default_queue == "celery"


def test_faults_of_all_sources_are_told_at_once_at_every_read_until_they_are_gone(monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.skirret]\nworker_pool_start_method = "thread"\n')
    monkeypatch.setenv("SKIRRET_TASK_ACKS_LATE", "maybe")
    monkeypatch.setenv("SKIRRET_TASK_ACK_LATE", "1")
    conf = Conf()
    conf.config_from_object({"broker_port": "x"})
    conf.load_environment()
    conf.load_pyproject(tmp_path)
    conf.add_defaults({"task_protocol": 1})
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured) as caught:
            _ = conf.task_default_queue
        told = str(caught.value)
        assert told.startswith("5 settings cannot be used:")
        for part in (
            "broker_port = 'x': expected a whole number (object dict)",
            "task_acks_late = 'maybe': expected true or false (environment SKIRRET_TASK_ACKS_LATE)",
            "there is no setting SKIRRET_TASK_ACK_LATE; did you mean SKIRRET_TASK_ACKS_LATE?",
            f"(pyproject {tmp_path / 'pyproject.toml'})",
            "task_protocol = 1: expected one of 2 (added default)",
        ):
            assert part in told
    monkeypatch.delenv("SKIRRET_TASK_ACKS_LATE")
    monkeypatch.delenv("SKIRRET_TASK_ACK_LATE")
    conf.config_from_object({})
    (tmp_path / "pyproject.toml").write_text("")
    conf.add_defaults({"task_protocol": 2})
    with pytest.raises(ImproperlyConfigured, match="task_protocol = 1"):
        _ = conf.task_default_queue


def test_a_fault_shows_no_secret():
    conf = Conf()
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.update(
            broker_url="redis://:hunter2/x@h/0",
            redis_password=7654321,
            broker_transport_options='{"password": "hunter2"',
        )
    assert "hunter2" not in str(caught.value)
    assert "7654321" not in str(caught.value)


def test_validate_finds_values_that_contradict_each_other():
    conf = Conf()
    conf.update(task_soft_time_limit=60, task_time_limit=30)
    with pytest.raises(ImproperlyConfigured, match="task_soft_time_limit = 60 is more than task_time_limit = 30"):
        conf.validate()
    conf.task_time_limit = 90
    conf.validate()


def test_the_strongest_source_wins_and_each_value_knows_its_origin(monkeypatch, tmp_path):
    keys = ["worker_lease", "task_time_limit", "result_expires", "broker_heartbeat", "redis_db", "broker_port"]
    (tmp_path / "pyproject.toml").write_text("[tool.skirret]\n" + "".join(f"{key} = 2\n" for key in keys[:5]))
    for key in keys[:4]:
        monkeypatch.setenv(f"SKIRRET_{key.upper()}", "3")
    conf = Conf()
    conf.add_defaults(dict.fromkeys(keys, 1))
    conf.load_pyproject(tmp_path)
    conf.load_environment()
    conf.config_from_object(SimpleNamespace(**dict.fromkeys(keys[:3], 4)))
    conf.update(dict.fromkeys(keys[:2], 5))
    conf.set_from_command_line({keys[0]: ("6", "--lease")})
    assert [conf[key] for key in keys] == [6, 5, 4, 3, 2, 1]
    origins = [conf.origin(key) for key in keys]
    assert [origin.kind for origin in origins] == [
        "command line", "code", "object", "environment", "pyproject", "added default",
    ]  # fmt: skip
    assert str(origins[0]) == "command line --lease"
    assert origins[1].where.startswith(__file__)
    assert str(origins[2]) == "object SimpleNamespace"
    assert str(origins[3]) == "environment SKIRRET_BROKER_HEARTBEAT"
    assert str(origins[4]) == f"pyproject {tmp_path / 'pyproject.toml'}"
    assert conf.origin("task_serializer") == Origin("default")


def test_the_command_line_wins_over_code_that_runs_later():
    conf = Conf()
    conf.set_from_command_line({"worker_pool": ("threads", "--pool")})
    conf.worker_pool = "solo"
    assert conf.worker_pool == "threads"


def test_a_value_set_to_its_default_counts_as_set():
    conf = Conf()
    assert not conf.is_set("worker_prefetch_multiplier")
    conf.worker_prefetch_multiplier = 4
    assert conf.is_set("worker_prefetch_multiplier")
    assert conf.value_set_for("worker_prefetch_multiplier")


def test_later_defaults_win_over_earlier_ones_and_may_be_functions():
    conf = Conf()
    conf.add_defaults({"task_time_limit": 1, "redis_db": 1})
    conf.add_defaults(lambda: {"task_time_limit": 2})
    assert (conf.task_time_limit, conf.redis_db) == (2, 1)
    conf.add_defaults({"CELERYD_TASK_TIME_LIMIT": 3})
    assert conf.task_time_limit == 3


def test_old_names_are_understood_for_reading_and_writing():
    conf = Conf()
    conf.update(CELERY_ACKS_LATE=False, BROKER_URL="memory://x")
    assert conf.task_acks_late is False
    assert conf.CELERY_ACKS_LATE is False
    assert conf["BROKER_URL"] == conf.broker_url == "memory://x"
    assert "CELERY_ACKS_LATE" in conf
    conf.CELERYD_POOL = "solo"
    assert conf.worker_pool == "solo"


def test_settings_that_follow_others_do_so_until_they_are_set():
    conf = Conf()
    assert conf.task_default_exchange == conf.task_default_routing_key == "celery"
    conf.task_default_queue = "high"
    assert conf.task_default_exchange == conf.task_default_routing_key == "high"
    conf.task_default_exchange = "mine"
    assert (conf.task_default_exchange, conf.task_default_routing_key) == ("mine", "high")
    assert conf.broker_url is conf.broker_read_url is conf.broker_write_url is None
    conf.broker_url = "memory://a"
    assert conf.broker_read_url == conf.broker_write_url == "memory://a"
    conf.broker_read_url = "memory://b"
    assert (conf.broker_read_url, conf.broker_write_url) == ("memory://b", "memory://a")


def test_a_broker_given_in_parts_becomes_an_address():
    conf = Conf()
    conf.update(broker_host="h", broker_port=1, broker_user="u", broker_password="p/w", broker_vhost="v")
    assert conf.broker_url == "amqp://u:p%2Fw@h:1/v"
    conf.update(broker_transport="redis", broker_user=None, broker_password=None)
    assert conf.broker_url == "redis://h:1/v"
    conf.broker_url = "memory://"
    assert conf.broker_url == "memory://"


def test_a_default_that_is_changed_in_place_stays_changed_and_is_the_apps_own():
    conf = Conf()
    conf.beat_schedule["x"] = {"task": "a"}
    conf.task_default_queue = "q"
    conf.load_environment()
    assert conf.beat_schedule == {"x": {"task": "a"}}
    assert conf.without_defaults()["beat_schedule"] == {"x": {"task": "a"}}
    assert conf.plain()["beat_schedule"] == {"x": {"task": "a"}}
    assert Conf().beat_schedule == {}


def test_a_section_is_a_snapshot():
    conf = Conf()
    before = conf.section(TaskSettings)
    conf.task_default_queue = "x"
    assert before.task_default_queue == "celery"
    assert conf.section(TaskSettings).task_default_queue == "x"


def test_a_configuration_module_is_imported_at_the_first_read_and_not_before(settings_module):
    name = settings_module(
        "import os\nfrom datetime import timedelta\nresult_expires = timedelta(hours=1)\nmy_own = 1\n"
    )
    conf = Conf()
    conf.config_from_object(name)
    conf.task_default_queue = "x"
    assert name not in sys.modules
    assert conf.result_expires == timedelta(hours=1)
    assert name in sys.modules
    assert conf.my_own == 1
    assert "os" not in conf
    assert "timedelta" not in conf
    assert str(conf.origin("result_expires")) == f"object {name}"
    assert conf.task_default_queue == "x"


def test_a_configuration_module_may_read_the_settings_while_it_is_read(settings_module):
    conf = Conf()
    conf.task_default_queue = "x"
    name = settings_module("import builtins\nseen = builtins.conf_of_test.task_default_queue\ntask_time_limit = 5\n")
    import builtins

    builtins.conf_of_test = conf
    try:
        conf.config_from_object(name)
        assert conf.task_time_limit == 5
        assert conf.seen == "x"
    finally:
        del builtins.conf_of_test


def test_a_function_that_gives_defaults_may_read_the_settings():
    conf = Conf()
    conf.worker_lease = 10
    conf.add_defaults(lambda: {"worker_grace": conf.worker_lease * 2})
    assert conf.worker_grace == 20


def test_a_source_that_is_named_while_the_others_are_read_counts():
    conf = Conf()

    def defaults():
        if not conf.changes:
            conf.task_default_queue = "x"
            conf.config_from_object({"task_time_limit": 7})
        return {}

    conf.add_defaults(defaults)
    assert (conf.task_time_limit, conf.task_default_queue) == (7, "x")


def test_threads_that_read_first_at_the_same_time_all_see_the_values(settings_module):
    name = settings_module("import time\ntime.sleep(0.05)\ntask_time_limit = 5\n")
    for _ in range(5):
        sys.modules.pop(name, None)
        conf = Conf()
        conf.config_from_object(name)
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(conf.task_time_limit)) for _ in range(8)]  # noqa: B023
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [5] * 8


def test_no_write_is_lost_while_another_thread_makes_the_settings_be_read_again():
    conf = Conf()
    stop = threading.Event()

    def reread():
        while not stop.is_set():
            conf.add_defaults({"my_default": 1})
            _ = conf.my_default

    thread = threading.Thread(target=reread)
    thread.start()
    try:
        for number in range(300):
            conf[f"mine{number}"] = number
            assert conf[f"mine{number}"] == number
    finally:
        stop.set()
        thread.join()
    assert [conf[f"mine{number}"] for number in range(300)] == list(range(300))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_the_lock_is_held_can_still_set_values():
    from skirret.settings import conf as module

    conf = Conf()
    held, release = threading.Event(), threading.Event()

    def hold():
        with module._lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    pid = os.fork()
    if pid == 0:
        import signal

        signal.alarm(10)
        conf.task_default_queue = "x"
        os._exit(0 if conf.task_default_queue == "x" else 1)
    release.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0


def test_plain_values_survive_json_and_become_the_same_settings_elsewhere():
    conf = Conf()
    conf.update(
        broker_url="redis://:secret@h/0",
        result_expires=timedelta(hours=1),
        result_backend_max_retries=float("inf"),
        accept_content={"json"},
        broker_transport_options={"priority_steps": (0, 5), "deep": {"x": [None, True]}},
        security_key_password=b"k",
        worker_prefetch_multiplier=4,
        worker_concurrency="auto",
        my_own=object(),
        my_text="x",
        task_routes=print,
        task_annotations={"a": print},
        task_time_limit=None,
    )
    conf.beat_schedule["again"] = conf.beat_schedule
    plain = json.loads(json.dumps(conf.plain()))
    assert plain == {
        "broker_url": "redis://:secret@h/0",
        "result_expires": 3600.0,
        "result_backend_max_retries": "inf",
        "accept_content": ["json"],
        "broker_transport_options": {"priority_steps": [0, 5], "deep": {"x": [None, True]}},
        "security_key_password": "k",
        "worker_prefetch_multiplier": 4,
        "worker_concurrency": None,
        "task_time_limit": None,
    }
    other = Conf.from_plain(plain)
    assert other.result_backend_max_retries == float("inf")
    assert other.is_set("worker_prefetch_multiplier")
    assert {key: other[key] for key in plain} | {"result_backend_max_retries": "inf"} == plain
    assert other.plain() == conf.plain()
    assert conf.plain().keys() == plain.keys()


def test_settings_can_be_copied_and_pickled():
    conf = Conf()
    conf.update(task_default_queue="x")
    assert pickle.loads(pickle.dumps(conf)).task_default_queue == "x"
    twin = copy.deepcopy(conf)
    twin.task_default_queue = "y"
    assert conf.task_default_queue == "x"


def test_a_setting_is_found_by_part_of_its_name():
    conf = Conf()
    assert conf.find_option("disable_rate_limits")[:2] == ("worker", "disable_rate_limits")
    assert conf.find_option("concurrency", "worker")[2] is OPTIONS["worker_concurrency"]
    assert conf.find_option("timezone")[:2] == ("", "timezone")
    assert conf.find_value_for_key("pool", "worker") == "prefork"
    assert conf.get_by_parts("task", "default_queue") == "celery"
    with pytest.raises(KeyError, match="no setting"):
        conf.find_option("nothing_of_the_kind")
    assert conf.finalize() is conf
