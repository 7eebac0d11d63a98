"""What an address says of a RabbitMQ server."""

from __future__ import annotations

import ssl

import pytest

from skirret.errors import ImproperlyConfigured
from skirret.stores.amqp.address import address_of
from skirret.url import parse


def read(text, **options):
    return address_of(parse(text), options)


@pytest.mark.parametrize(
    "text,vhost",
    [
        ("amqp://h", "/"),
        ("amqp://h/", "/"),
        ("amqp://h//", "/"),
        ("amqp://h/%2F", "/"),
        ("amqp://h/one", "one"),
        ("amqp://h//one", "/one"),
        ("pyamqp://h/a%2Fb", "a/b"),
    ],
)
def test_the_virtual_host_is_read_as_celery_reads_it(text, vhost):
    assert read(text).vhost == vhost


def test_user_and_password_are_guest_unless_said():
    assert (read("amqp://h").username, read("amqp://h").password) == ("guest", "guest")
    found = read("amqp://me:s%40crt@h:1234/x")
    assert (found.username, found.password, found.nodes) == ("me", "s@crt", (("h", 1234),))
    assert "s@crt" not in repr(found)


def test_several_nodes_are_tried_in_the_order_that_is_asked_for():
    text = "amqp://a:1;amqp://b:2;amqp://c:3"
    assert read(text).order() == [("a", 1), ("b", 2), ("c", 3)]
    assert sorted(read(text, failover_strategy="shuffle").order()) == [("a", 1), ("b", 2), ("c", 3)]
    assert read(text, failover_strategy=reversed).order()[0] == ("c", 3)


def test_encryption_is_asked_for_by_scheme_or_option_and_has_a_port_of_its_own():
    assert read("amqp://h").tls is None
    assert read("amqps://h").nodes == (("h", 5671),)
    assert dict(read("amqp://h:1", ssl={"ssl_cert_reqs": ssl.CERT_NONE}).tls)["cert_reqs"] == 0
    assert read("amqps://h?ssl_cert_reqs=none").context().verify_mode == ssl.CERT_NONE
    assert read("amqps://h").context().check_hostname


@pytest.mark.parametrize(
    "text,options",
    [
        ("amqp://h?login_method=magic", {}),
        ("amqp://h?heartbeat=often", {}),
        ("amqp://h", {"failover_strategy": "luck"}),
        ("amqp://h", {"failover_strategy": 3}),
        ("amqps://h?ssl_cert_reqs=maybe", {}),
    ],
)
def test_what_makes_no_sense_is_refused(text, options):
    with pytest.raises(ImproperlyConfigured):
        read(text, **options)


def test_certificates_that_cannot_be_read_are_named():
    with pytest.raises(ImproperlyConfigured, match="certificates"):
        read("amqps://h", ssl={"ca_certs": "/no/such/file"}).context()
