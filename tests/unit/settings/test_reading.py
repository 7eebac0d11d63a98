"""Every setting that is not marked as without effect is read by the program: none is accepted and then forgotten."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import skirret
from skirret.logs import TextFormatter
from skirret.settings import OPTIONS, Conf
from skirret.settings.transports import broker_options, replies, result_options
from skirret.stores.redis.address import DEADLINE, address_of
from skirret.url import parse

SOURCE = Path(skirret.__file__).parent

NO_READERS = (
    "settings/sections/",  # where settings are declared
    "settings/coming.py",
    "settings/listing.py",  # compares values with each other
    "worker/remote/figures.py",  # only tells them on, to `inspect stats`
    "worker/child/describe.py",  # sets them, from the command line
)


def words(tree: ast.AST) -> Iterator[str]:
    """Every name and text by which a setting might be read, and what texts with holes might stand for."""
    named = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "setting"}
    texts, heads = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in named:
            texts.add(node.value)
        elif isinstance(node, ast.JoinedStr) and id(node) not in named and isinstance(node.values[0], ast.Constant):
            heads.add(str(node.values[0].value))
    yield from texts
    yield from (head + text for head in heads if head.endswith("_") for text in texts)


def unread(source: Path) -> set[str]:
    """Settings said to have an effect that nothing below `source` reads."""
    found: set[str] = set()
    for path in source.rglob("*.py"):
        if not path.relative_to(source).as_posix().startswith(NO_READERS):
            found.update(words(ast.parse(path.read_text(encoding="utf-8"))))
    return {key for key, known in OPTIONS.items() if known.used} - found


def test_every_setting_with_an_effect_is_read():
    assert unread(SOURCE) == set()


def test_a_setting_that_only_an_option_names_counts_as_unread(tmp_path):
    (tmp_path / "cli.py").write_text('option("--pool", setting="worker_pool")\nlog = conf.worker_log_format\n')
    assert "worker_pool" in unread(tmp_path)
    assert "worker_log_format" not in unread(tmp_path)


def test_lines_of_tasks_have_their_own_format_of_the_moment():
    formatter = TextFormatter("%(asctime)s", "%(asctime)s", "worker", "task")
    record = logging.makeLogRecord({"name": "x", "task_id": "1", "task_name": "t"})
    assert formatter.format(record) == "task"
    assert formatter.format(logging.makeLogRecord({"name": "x"})) == "worker"


def test_settings_of_the_redis_result_store_reach_its_address():
    conf = Conf()
    conf.update(redis_username="u", redis_password="p", redis_socket_timeout=2, redis_client_name="c")
    found = address_of(parse("redis://h/0"), result_options(conf, "memory://"))
    assert (found.username, found.password, found.deadline, found.client_name) == ("u", "p", 2.0, "c")
    told = address_of(parse("redis://me:mine@h/0"), result_options(conf, "memory://"))
    assert (told.username, told.password) == ("me", "mine")
    assert result_options(Conf(), "memory://") == {}


def test_how_long_connecting_may_take_reaches_both_addresses():
    conf = Conf()
    conf.update(broker_connection_timeout=1.5, redis_socket_connect_timeout=2.5)
    both = (broker_options(conf), result_options(conf, "memory://"))
    addresses = [address_of(parse("redis://h/0"), options) for options in both]
    assert [found.patience for found in addresses] == [1.5, 2.5]
    conf.broker_connection_timeout = None
    assert address_of(parse("redis://h/0"), broker_options(conf)).patience == DEADLINE
    conf.broker_transport_options = {"socket_connect_timeout": 3}
    assert address_of(parse("redis://h/0"), broker_options(conf)).patience == 3.0


def test_results_by_message_are_opened_with_the_broker_and_the_settings_of_results():
    conf = Conf()
    conf.update(result_backend="rpc://", result_persistent=True, result_expires=60, result_cache_max=5)
    conf.update(broker_use_ssl={"cert_reqs": 0}, result_serializer="msgpack")
    assert replies(conf)
    found = result_options(conf, "amqps://h")
    assert found.pop("broker_options") == broker_options(conf)
    assert found == {
        "broker_url": "amqps://h", "expires": 60.0, "persistent": True, "cache_max": 5, "serializer": "msgpack",
    }  # fmt: skip
    conf.result_expires = None
    assert result_options(conf, "amqps://h")["expires"] is None
    conf.result_backend = "redis://h/0"
    assert not replies(conf)
