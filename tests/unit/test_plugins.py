"""Finding a broker, a store or a pool by its name, and what is said where there is none."""

from __future__ import annotations

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.plugins import Plugins

PLUGINS = Plugins("broker", "skirret.unknown", {"redis": "json:loads", "memory": "json:dumps"}, {})


def test_a_name_of_the_table_and_a_path_are_found():
    import json

    assert PLUGINS.load("redis") is json.loads
    assert PLUGINS.load("json:dumps") is json.dumps


def test_an_unknown_name_is_refused_with_the_known_ones_and_the_nearest():
    with pytest.raises(ImproperlyConfigured, match=r"^no broker 'nosuch'\. Known: memory, redis$"):
        PLUGINS.load("nosuch")
    with pytest.raises(ImproperlyConfigured, match=r"^no broker 'redi'; did you mean 'redis'\? Known: memory, redis$"):
        PLUGINS.load("redi")
