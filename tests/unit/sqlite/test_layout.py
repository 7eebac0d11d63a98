"""The layout of the file carries a version."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from skirret.brokers.sqlite import SqliteBroker
from skirret.errors import ImproperlyConfigured
from skirret.stores.sqlite import layout
from skirret.testing.conformance.material import at_once, message


def version(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_new_file_has_the_present_version(broker, path):
    broker.names()
    assert version(path) == layout.VERSION


def test_a_newer_layout_is_refused_with_advice(broker, path, monkeypatch):
    broker.names()
    broker.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {layout.VERSION + 1}")
    with pytest.raises(ImproperlyConfigured, match=r"newer Skirret.*Upgrade"):
        SqliteBroker(path, 1.0).names()


def test_an_older_layout_is_migrated_once_and_keeps_its_messages(broker, path, monkeypatch, publish):
    ids = publish(3)
    broker.close()
    calls = []

    def migrate(connection):
        calls.append(1)
        connection.execute("ALTER TABLE message ADD COLUMN colour TEXT")

    monkeypatch.setattr(layout, "VERSION", layout.VERSION + 1)
    monkeypatch.setattr(layout, "MIGRATIONS", {layout.VERSION - 1: migrate})
    clients = [SqliteBroker(path, 5.5 + n) for n in range(4)]
    seen = at_once(4, lambda n: [one.task_id for one in clients[n].peek("q")])
    assert seen == [ids] * 4
    assert calls == [1]
    assert version(path) == layout.VERSION


def test_a_migration_that_fails_changes_nothing(broker, path, monkeypatch, publish):
    publish()
    broker.close()

    def fail(connection):
        connection.execute("DELETE FROM message")
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(layout, "VERSION", layout.VERSION + 1)
        patch.setattr(layout, "MIGRATIONS", {layout.VERSION - 1: fail})
        with pytest.raises(RuntimeError):
            SqliteBroker(path, 1.0).names()
    assert version(path) == layout.VERSION
    assert len(broker.peek("q")) == 1


def test_many_who_make_the_file_at_once_make_one(path):
    clients = [SqliteBroker(path, 5.5 + n) for n in range(6)]
    at_once(6, lambda n: clients[n].publish([message(str(n), "q")]))
    assert clients[0].size("q").ready == 6
    for client in clients:
        client.close()


def test_every_statement_of_the_schema_is_in_the_file(broker, path):
    broker.names()
    wanted = layout.SCHEMA.read_text(encoding="utf-8").count("CREATE ")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        made = "SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        assert connection.execute(made).fetchone()[0] == wanted
