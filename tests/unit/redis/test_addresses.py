"""Addresses and options of Redis servers, in Celery's forms."""

from __future__ import annotations

import ssl

import pytest

from skirret.brokers.redis.options import options_of
from skirret.errors import ImproperlyConfigured
from skirret.stores.redis.address import DEADLINE, address_of
from skirret.url import parse


def read(url, **options):
    return address_of(parse(url), options)


@pytest.mark.parametrize(
    "url,expected",
    [
        ("redis://", ("single", (("localhost", 6379),), "", 0)),
        ("redis://h:7/3", ("single", (("h", 7),), "", 3)),
        ("redis://h/", ("single", (("h", 6379),), "", 0)),
        ("valkey://h:7", ("single", (("h", 7),), "", 0)),
        ("redis+socket:///run/redis.sock", ("single", (("localhost", 6379),), "/run/redis.sock", 0)),
        ("redis+socket:///run/redis.sock?virtual_host=2", ("single", (("localhost", 6379),), "/run/redis.sock", 2)),
        ("redis+cluster://a:1;redis+cluster://b:2", ("cluster", (("a", 1), ("b", 2)), "", 0)),
        ("redis://a:1?cluster=true", ("cluster", (("a", 1),), "", 0)),
    ],
)
def test_addresses_are_read(url, expected):
    found = read(url)
    assert (found.kind, found.hosts, found.path, found.db) == expected
    assert found.tls is None


@pytest.mark.parametrize(
    "url", ["sentinel://a:1;sentinel://b/4", "sentinel://a:1/4;sentinel://b", "sentinel://a:1/4;sentinel://b:26379/4"]
)
def test_sentinels_are_read_in_celerys_form(url):
    found = read(url, master_name="mymaster", sentinel_kwargs={"password": "p"})
    assert (found.kind, found.hosts, found.db, found.master) == ("sentinel", (("a", 1), ("b", 26379)), 4, "mymaster")
    assert found.sentinel_options == (("password", "p"),)


def test_sentinels_need_a_masters_name():
    with pytest.raises(ImproperlyConfigured, match="master_name"):
        read("sentinel://a:1")


def test_passwords_are_read_and_never_shown():
    found = read("redis://user:s%40cret@h:1/0")
    assert (found.username, found.password) == ("user", "s@cret")
    assert "cret" not in f"{found} {found!r}"
    sentinel = read("sentinel://:cret@a:1;sentinel://:cret@b:2/1", master_name="m")
    assert sentinel.password == "cret"
    assert "cret" not in f"{sentinel} {sentinel!r}"


@pytest.mark.parametrize(
    "given,wanted,name_checked",
    [
        ({}, "required", True),
        ({"ssl_cert_reqs": "CERT_NONE"}, "none", False),
        ({"ssl": {"ssl_cert_reqs": ssl.CERT_OPTIONAL}}, "optional", False),
        ({"ssl": {"ssl_cert_reqs": 2}}, "required", True),
        ({"ssl": {"cert_reqs": "required", "ca_certs": "/ca"}}, "required", True),
    ],
)
def test_tls_is_checked_unless_it_is_said_otherwise(given, wanted, name_checked):
    found = dict(read("rediss://h:1/0", **given).tls)
    assert (found["ssl_cert_reqs"], found["ssl_check_hostname"]) == (wanted, name_checked)
    if "ssl" in given and "ca_certs" in given["ssl"]:
        assert found["ssl_ca_certs"] == "/ca"


def test_tls_may_be_told_in_the_query_as_celerys_users_do():
    found = dict(read("rediss://h:1/0?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=/ca").tls)
    assert (found["ssl_cert_reqs"], found["ssl_ca_certs"]) == ("none", "/ca")


@pytest.mark.parametrize(
    "url,options,what",
    [
        ("redis://h/mail", {}, "database"),
        ("redis+cluster://h/2", {}, "database 0 only"),
        ("redis://h", {"socket_timeout": "soon"}, "socket_timeout"),
        ("redis://h", {"socket_connect_timeout": -1}, "socket_connect_timeout"),
        ("rediss://h?ssl_cert_reqs=perhaps", {}, "ssl_cert_reqs"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(url, options, what):
    with pytest.raises(ImproperlyConfigured, match=what):
        read(url, **options)


@pytest.mark.parametrize("given,seconds", [(None, DEADLINE), (120, DEADLINE), (1.5, 1.5)])
def test_a_call_has_less_than_five_seconds(given, seconds):
    assert read("redis://h", socket_timeout=given).deadline == seconds <= 5.0
    assert read("redis://h", socket_connect_timeout=given).patience == seconds


@pytest.mark.parametrize(
    "options,steps,order",
    [
        ({}, (0, 3, 6, 9), (9, 6, 3, 0)),
        ({"priority_order": "celery"}, (0, 3, 6, 9), (0, 3, 6, 9)),
        ({"priority_steps": [5, 0]}, (0, 5), (5, 0)),
    ],
)
def test_priorities_are_taken_in_the_order_that_was_asked_for(options, steps, order):
    found = options_of(parse("redis://h"), options)
    assert (found.steps, found.order) == (steps, order)


@pytest.mark.parametrize(
    "options",
    [
        {"priority_order": "random"},
        {"priority_steps": ["high"]},
        {"priority_steps": [0, 12]},
        {"durability": "eternal"},
        {"durability": "replicated", "durability_replicas": 0},
        {"durability_timeout": "soon"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ImproperlyConfigured, match=next(name for name in reversed(options))):
        options_of(parse("redis://h"), options)
