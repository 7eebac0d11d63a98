"""What a worker says at its start."""

from __future__ import annotations

from skirret.settings import Conf
from skirret.worker.banner import without_effect


def test_settings_that_were_set_and_do_nothing_are_named_in_one_line():
    app = Conf()
    app.update(worker_pool_putlocks=False, broker_pool_limit=5, task_acks_late=True)
    told = without_effect(Conf.from_plain(app.plain()))
    assert told == (
        "Set, but without effect: broker_pool_limit, worker_pool_putlocks; `skirret config show` tells why."
    )


def test_nothing_is_said_where_all_that_was_set_has_an_effect():
    assert without_effect(Conf.from_plain({})) == ""
    assert without_effect(Conf.from_plain({"task_acks_late": True})) == ""
