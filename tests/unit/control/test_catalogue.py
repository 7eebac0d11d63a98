"""The catalogue has Celery's commands, and words of a command line become their arguments."""

from __future__ import annotations

import pytest
from celery.worker.control import Panel

from skirret.control.catalogue import ALIASES, COMMANDS
from skirret.control.custom import control_command, inspect_command, registered


def test_every_command_of_celery_is_there_with_its_kind_alias_and_arguments():
    for name, meta in Panel.meta.items():
        ours = COMMANDS[name]
        assert ours.kind == meta.type, name
        assert ours.alias == (meta.alias or ""), name
        assert [argument for argument, _ in ours.arguments] == [argument for argument, _ in meta.args or ()], name
        assert ours.variadic == (meta.variadic or "") or name == "pool_restart", name
        assert ours.visible == meta.visible, name
    assert {name for name, command in COMMANDS.items() if command.kind == "control"} == {
        name for name, meta in Panel.meta.items() if meta.type == "control"
    }
    assert set(COMMANDS) - set(Panel.meta) == {"ping", "stack"} - set(Panel.meta)
    assert ALIASES["dump_active"] == "active"


@pytest.mark.parametrize(
    "words, arguments",
    [
        ("rate_limit tasks.add 10/m", {"task_name": "tasks.add", "rate_limit": "10/m"}),
        ("autoscale 10 3", {"max": 10, "min": 3}),
        ("revoke a b", {"task_id": ["a", "b"]}),
        ("terminate KILL a", {"signal": "KILL", "task_id": ["a"]}),
        ("time_limit t 1.5 none", {"task_name": "t", "soft": 1.5, "hard": None}),
        ("pool_grow", {}),
        ("pool_grow 2", {"n": 2}),
        ("conf yes", {"with_defaults": True}),
        ("registered a b", {"taskinfoitems": ["a", "b"]}),
        ("add_consumer q e topic k", {"queue": "q", "exchange": "e", "exchange_type": "topic", "routing_key": "k"}),
    ],
)
def test_words_become_arguments(words, arguments):
    name, *rest = words.split()
    assert COMMANDS[name].read(rest) == arguments


@pytest.mark.parametrize(
    "words, complaint",
    [
        ("rate_limit tasks.add", "needs more"),
        ("autoscale ten", "'ten' is no max"),
        ("ping x", "takes no 'x'"),
        ("conf perhaps", "neither yes nor no"),
        ("revoke", "needs more"),
    ],
)
def test_wrong_words_are_told(words, complaint):
    name, *rest = words.split()
    with pytest.raises(ValueError, match=complaint):
        COMMANDS[name].read(rest)


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    monkeypatch.setattr("skirret.control.custom._registered", {})


def test_a_command_of_ones_own_is_found_by_name_and_alias():
    @control_command(args=[("n", int)], signature="[N=1]", alias="more")
    def increase(state, n=1):
        """Increase something.

        Much.
        """
        return n

    @inspect_command
    def look(state):
        return 1

    found = registered()
    assert found["increase"].function is increase
    assert found["more"] is found["increase"]
    assert found["increase"].command.read(["3"]) == {"n": 3}
    assert (found["increase"].command.doc, found["increase"].command.usage) == ("Increase something.", "[N=1]")
    assert (found["look"].command.kind, found["look"].command.name) == ("inspect", "look")


def test_a_built_in_command_cannot_be_replaced():
    with pytest.raises(ValueError, match="every worker has"):

        @control_command(name="shutdown")
        def mine(state):
            return None
