"""Names of nodes and of their files are filled in as Celery does it."""

from __future__ import annotations

import socket

import pytest
from celery.utils import nodenames

from skirret.nodes import node_name, node_path


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "web.example.com")
    monkeypatch.setattr(nodenames, "gethostname", lambda: "web.example.com")


@pytest.mark.parametrize(
    "text, name",
    [
        (None, "skirret@web.example.com"),
        ("w1@%h", "w1@web.example.com"),
        ("w1@", "w1@web.example.com"),
        ("w1@%n", "w1@web"),
        ("%n@x", "web@x"),
        ("w1@db.%d", "w1@db.example.com"),
        ("db", "skirret@db"),
        ("@db", "skirret@db"),
    ],
)
def test_a_node_name_is_read_as_celery_reads_it_but_for_the_name_that_stands_for_none(text, name):
    assert node_name(text) == name
    theirs = nodenames.host_format(nodenames.default_nodename(text)) if text else "celery@web.example.com"
    assert name == theirs.replace("celery@", "skirret@")


@pytest.mark.parametrize("process, index", [(0, "0|"), (3, "3|-3")])
def test_a_file_of_a_node_may_name_its_parts_and_the_childs_number(process, index):
    assert node_path("%p|%n|%h|%d|%%n", "w1@a.b.c") == "w1@a.b.c|w1|a.b.c|b.c|%n"
    assert node_path("%i|%I", "w1@a.b.c", process) == index
    assert node_path("%z 5%", "w1@a") == "%z 5%"
