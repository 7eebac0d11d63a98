"""Configuration objects, namespaces, old names, the environment and pyproject.toml."""

from __future__ import annotations

import os
import sys

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.settings import Conf


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SKIRRET_", "CELERY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `shop_of_test` with a module `settings` in it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_of_test").mkdir()
    (tmp_path / "shop_of_test" / "__init__.py").write_text("")
    (tmp_path / "shop_of_test" / "settings.py").write_text(
        "task_time_limit = 1\nclass Production:\n    task_time_limit = 2\n    @property\n    def x(self): ...\n"
    )
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("shop_of_test")]:
        del sys.modules[name]


def loaded(source, **options):
    conf = Conf()
    conf.config_from_object(source, **options)
    conf.finalize()
    return conf


@pytest.mark.parametrize(
    "path, limit",
    [
        ("shop_of_test.settings", 1),
        ("shop_of_test.settings:Production", 2),
        ("shop_of_test.settings.Production", 2),
    ],
)
def test_a_configuration_is_named_by_module_or_by_a_name_inside_one(package, path, limit):
    assert loaded(path).task_time_limit == limit


def test_a_module_beside_the_user_is_found(tmp_path, monkeypatch):
    (tmp_path / "beside_of_test.py").write_text("task_time_limit = 1\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    try:
        assert loaded("beside_of_test").task_time_limit == 1
        assert sys.path == before
    finally:
        sys.modules.pop("beside_of_test", None)


@pytest.mark.parametrize(
    "path, told",
    [
        ("nowhere_of_test", "No module named 'nowhere_of_test'"),
        ("shop_of_test.nowhere", "shop_of_test.nowhere"),
        ("shop_of_test.settings:Nothing", "Nothing"),
        ("shop_of_test.settings.py", "name the module, 'shop_of_test.settings', not its file"),
    ],
)
def test_a_configuration_that_is_not_there_is_an_error_that_names_it(package, path, told):
    with pytest.raises(ImproperlyConfigured, match="cannot load") as caught:
        loaded(path)
    assert told in str(caught.value)


def test_a_silent_configuration_may_be_absent():
    assert loaded("nowhere_of_test", silent=True).task_time_limit is None


def test_an_error_inside_the_configuration_module_is_not_hidden(package):
    (package / "shop_of_test" / "broken.py").write_text("import module_that_is_absent_of_test\n")
    with pytest.raises(ImproperlyConfigured, match="module_that_is_absent_of_test"):
        loaded("shop_of_test.broken")
    (package / "shop_of_test" / "zero.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        loaded("shop_of_test.zero")


def test_a_variable_names_the_configuration_module(package, monkeypatch):
    monkeypatch.setenv("SHOP_SETTINGS", "shop_of_test.settings")
    conf = Conf()
    assert conf.config_from_envvar("SHOP_SETTINGS")
    assert conf.task_time_limit == 1
    assert str(conf.origin("task_time_limit")) == "object shop_of_test.settings (environment SHOP_SETTINGS)"
    with pytest.raises(ImproperlyConfigured, match="SHOP_NOTHING is not set"):
        conf.config_from_envvar("SHOP_NOTHING")
    assert not conf.config_from_envvar("SHOP_NOTHING", silent=True)


@pytest.mark.parametrize("variable", ["CELERY_CONFIG_MODULE", "SKIRRET_CONFIG_MODULE"])
def test_celerys_variable_for_the_module_counts_for_an_app_that_names_none(package, monkeypatch, variable):
    monkeypatch.setenv(variable, "shop_of_test.settings")
    conf = Conf()
    conf.load_environment()
    assert conf.task_time_limit == 1
    conf.config_from_object({"task_time_limit": 9})
    assert conf.task_time_limit == 9


def test_a_namespace_counts_only_what_stands_behind_it():
    class Settings:
        DEBUG = True
        SECRET_KEY = "x"
        TASK_TIME_LIMIT = 99
        CELERY_TASK_TIME_LIMIT = 5
        CELERY_MY_OWN = 1

    conf = loaded(Settings, namespace="CELERY")
    assert conf.task_time_limit == 5
    assert conf.my_own == 1
    assert "SECRET_KEY" not in conf
    assert "DEBUG" not in conf
    assert conf.CELERY_TASK_TIME_LIMIT == 5


def test_what_stands_before_a_namespace_is_not_even_read():
    class Settings:
        CELERY_TASK_TIME_LIMIT = 5
        TIME_ZONE = "Europe/Paris"

        @property
        def EMAIL_BACKEND(self):  # noqa: N802  Django warns where a setting is read that will be no more
            raise DeprecationWarning("will be no more")

    conf = loaded(Settings(), namespace="CELERY")
    assert conf.task_time_limit == 5
    assert conf.timezone == "Europe/Paris"


def test_a_misspelt_name_behind_a_namespace_is_found():
    with pytest.raises(ImproperlyConfigured, match="did you mean task_acks_late"):
        loaded({"CELERY_TASK_ACK_LATE": True}, namespace="CELERY")


def test_with_a_namespace_old_names_are_understood_and_the_new_one_wins():
    conf = loaded(
        {"CELERYD_CONCURRENCY": 3, "CELERY_ACKS_LATE": False, "BROKER_URL": "memory://old"}, namespace="CELERY"
    )
    assert (conf.worker_concurrency, conf.task_acks_late, conf.broker_url) == (3, False, "memory://old")
    both = {"CELERY_BROKER_URL": "memory://new", "BROKER_URL": "memory://old"}
    assert loaded(both, namespace="CELERY").broker_url == "memory://new"
    assert loaded(dict(reversed(both.items())), namespace="CELERY_").broker_url == "memory://new"


def test_a_lower_case_namespace_works_as_in_celery():
    assert loaded({"shop_task_time_limit": 5}, namespace="shop").task_time_limit == 5


def test_djangos_time_zone_counts_where_none_is_set():
    assert loaded({"TIME_ZONE": "Europe/Berlin"}, namespace="CELERY").timezone == "Europe/Berlin"
    both = {"TIME_ZONE": "Europe/Berlin", "CELERY_TIMEZONE": "UTC"}
    assert loaded(both, namespace="CELERY").timezone == "UTC"


def test_old_names_alone_are_understood():
    conf = loaded({"BROKER_URL": "memory://x", "CELERYD_POOL": "solo", "CELERYBEAT_SYNC_EVERY": 3, "MY_OWN": 1})
    assert (conf.broker_url, conf.worker_pool, conf.beat_sync_every, conf.MY_OWN) == ("memory://x", "solo", 3, 1)


@pytest.mark.parametrize(
    "found, told",
    [
        ({"task_time_limit": 1, "broker_port": 1, "CELERYD_POOL": "solo"}, "CELERYD_POOL -> worker_pool"),
        ({"task_time_limit": 1, "CELERYD_POOL": "solo", "BROKER_URL": "memory://"},
         "task_time_limit -> CELERYD_TASK_TIME_LIMIT"),
    ],
)  # fmt: skip
def test_mixing_old_and_new_names_is_refused_with_the_renames_of_the_smaller_half(found, told):
    from celery import Celery
    from celery.exceptions import ImproperlyConfigured as PeersError

    with pytest.raises(ImproperlyConfigured, match="mixed") as caught:
        loaded(found)
    assert told in str(caught.value)
    peer = Celery(set_as_current=False)
    peer.config_from_object(found)
    with pytest.raises(PeersError):
        _ = peer.conf.task_time_limit


@pytest.mark.parametrize("order", [1, -1])
def test_giving_a_setting_by_both_names_is_no_mixture_and_the_new_one_wins(order):
    found = {
        "result_expires": 1,
        "CELERY_TASK_RESULT_EXPIRES": 2,
        "BROKER_URL": "memory://b",
        "broker_url": "memory://a",
    }
    conf = loaded(dict(list(found.items())[::order]))
    assert conf.result_expires == 1
    assert conf.broker_url == "memory://a"


def test_variables_are_read_as_the_type_asks(monkeypatch):
    for key, text in {
        "task_acks_late": "off",
        "worker_concurrency": "3",
        "accept_content": "json,yaml",
        "broker_transport_options": '{"x": 1}',
        "result_expires": "2h",
        "message_max_bytes": "1MiB",
        "task_time_limit": "None",
        "task_default_queue": "none",
        "broker_url": "",
        "home": "/somewhere",
        "something_else": "x",
    }.items():
        monkeypatch.setenv(f"SKIRRET_{key.upper()}", text)
    conf = Conf()
    conf.load_environment()
    assert conf.task_acks_late is False
    assert conf.worker_concurrency == 3
    assert conf.accept_content == ("json", "yaml")
    assert conf.broker_transport_options == {"x": 1}
    assert conf.result_expires == 7200
    assert conf.message_max_bytes == 2**20
    assert conf.task_time_limit is None
    assert conf.is_set("task_time_limit")
    assert conf.task_default_queue == "none"
    assert not conf.is_set("broker_url")
    assert "home" not in conf
    assert "something_else" not in conf


def test_variables_do_not_count_unless_asked_for(monkeypatch):
    monkeypatch.setenv("SKIRRET_TASK_ACKS_LATE", "off")
    assert Conf().task_acks_late is True


@pytest.mark.parametrize("key", ["broker_url", "broker_read_url", "broker_write_url", "result_backend"])
def test_celerys_own_variables_count_and_ours_win_over_them(monkeypatch, key):
    monkeypatch.setenv(f"CELERY_{key.upper()}", "memory://theirs")
    conf = Conf()
    conf.load_environment()
    assert conf[key] == "memory://theirs"
    assert str(conf.origin(key)) == f"environment CELERY_{key.upper()}"
    monkeypatch.setenv(f"SKIRRET_{key.upper()}", "memory://ours")
    conf.load_environment()
    assert conf[key] == "memory://ours"


def test_a_table_of_pyproject_counts(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.skirret]\naccept_content = ["json"]\nresult_expires = "1h"\nmy_own = 1\n'
        "[tool.skirret.broker_transport_options]\nx = 1\n"
    )
    conf = Conf()
    conf.load_pyproject(tmp_path)
    assert conf.accept_content == ["json"]
    assert conf.result_expires == 3600
    assert conf.my_own == 1
    assert conf.broker_transport_options == {"x": 1}


@pytest.mark.parametrize("text", [None, "", "[tool.other]\nx = 1\n", '[project]\nname = "skirret-user"\n'])
def test_a_project_without_the_table_sets_nothing(tmp_path, text):
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    conf = Conf()
    conf.load_pyproject(tmp_path)
    assert conf.without_defaults() == {}


@pytest.mark.parametrize(
    "text", ["[tool.skirret\n", 'tool = "skirret"\n', "[tool]\nskirret = 1\n", "skirret = '\xff'\n"]
)
def test_a_broken_pyproject_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "pyproject.toml"
    path.write_bytes(text.encode("latin-1"))
    conf = Conf()
    conf.load_pyproject(tmp_path)
    with pytest.raises(ImproperlyConfigured, match="cannot read") as caught:
        conf.finalize()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "SKIRRET_BROKER_URL"])
def test_the_environments_word_on_where_servers_are_beats_code(monkeypatch, variable):
    monkeypatch.setenv(variable, "memory://deployed")
    monkeypatch.setenv("SKIRRET_TASK_TIME_LIMIT", "5")
    conf = Conf()
    conf.load_environment()
    conf.update(broker_url="memory://coded", task_time_limit=7)
    assert conf.broker_url == "memory://deployed"
    assert conf.origin("broker_url").kind == "environment"
    assert conf.task_time_limit == 7, "other variables do not"
    conf.set_from_command_line({"broker_url": ("memory://asked", "--broker")})
    assert conf.broker_url == "memory://asked"
