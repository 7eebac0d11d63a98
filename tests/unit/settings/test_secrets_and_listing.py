"""What people see of the settings: every value, its origin and its sentence, and no secret."""

from __future__ import annotations

import pytest

from skirret.settings import OPTIONS, Conf, Origin
from skirret.settings.listing import has_effect
from skirret.settings.secrets import censor, is_secret, mask_text
from skirret.url import mask, parse

SECRET = "hunter2"


@pytest.fixture
def conf():
    conf = Conf()
    conf.update(
        broker_url=[f"amqp://u:{SECRET}@a//", f"amqp://u:{SECRET}@b//"],
        result_backend=f"db+postgresql://u:{SECRET}@h/d",
        coordination_url=f"redis://h/0?password={SECRET}",
        redis_password=SECRET,
        s3_secret_access_key=SECRET,
        security_key_password=SECRET.encode(),
        broker_transport_options={"sentinel_kwargs": {"password": SECRET}, "url": f"x://u:{SECRET}@h"},
        beat_schedule={"a": {"task": "t", "kwargs": {"api_token": SECRET}, "options": {"routing_key": "r"}}},
        cassandra_auth_kwargs={"username": "u", "x": SECRET},
        redis_backend_credential_provider=f"p:{SECRET}",
        my_dsn=SECRET,
        my_urls={"a": (f"redis://:{SECRET}@h/0", 1)},
        my_object=type("Thing", (), {"__repr__": lambda self: f"<Thing amqp://u:{SECRET}@h>"})(),
        task_default_routing_key="shown",
    )
    return conf


def test_no_listing_shows_a_secret(conf):
    conf.finalize()
    for text in (
        conf.humanize(),
        conf.humanize(with_defaults=True),
        repr(conf),
        str(conf.table(with_defaults=True)),
        str(conf.rows()),
        str(conf.unused()),
    ):
        assert SECRET not in text
        assert "shown" in text or "cassandra" in text


def test_the_process_itself_still_has_them(conf):
    assert conf.redis_password == SECRET
    assert SECRET in conf.plain()["result_backend"]
    assert SECRET in conf.humanize(censored=False)


def test_what_is_no_secret_stays_readable(conf):
    table = conf.table()
    assert table["broker_url"] == ["amqp://u:**@a//", "amqp://u:**@b//"]
    assert table["coordination_url"] == "redis://h/0?password=**"
    assert table["broker_transport_options"] == {"sentinel_kwargs": {"password": "**"}, "url": "x://u:**@h"}
    assert table["beat_schedule"]["a"] == {
        "task": "t", "kwargs": {"api_token": "**"}, "options": {"routing_key": "r"},
    }  # fmt: skip
    assert table["my_urls"] == {"a": ["redis://:**@h/0", 1]}
    assert table["my_object"] == "<Thing amqp://u:**@h>"


@pytest.mark.parametrize(
    "text, seen",
    [
        ("redis://:pw@h:1/0", "redis://:**@h:1/0"),
        ("redis://:p/w?x@h:1/0", "redis://:**@h:1/0"),
        ("redis://:p@w@h:1/0", "redis://:**@h:1/0"),
        ("redis://:a;b@h;redis://:c@i", "redis://:**@h;redis://:**@i"),
        ("amqp://u:p@h//,amqp://v:q@i//", "amqp://u:**@h//,amqp://v:**@i//"),
        ("sentinel://:pw@a:1;b:2", "sentinel://:**@a:1;b:2"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user@h:6379/0", "redis://user@h:6379/0"),
        ("AccountName=a;AccountKey=abc==;X=y", "AccountName=a;AccountKey=**;X=y"),
        ("host=h password='my pw' user=u", "host=h password=** user=u"),
        ('{"password": "pw", "x": 1}', '{"password": **, "x": 1}'),
        ("plain text", "plain text"),
    ],
)
def test_passwords_are_masked_inside_text(text, seen):
    assert mask_text(text) == seen


@pytest.mark.parametrize(
    "name",
    ["redis_password", "PASSPHRASE", "api_token", "s3_secret_access_key", "AWS_SECRET", "x_signature", "sentry_dsn",
     "sasl_mechanism", "my_key", "db_pwd"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["task_default_routing_key", "global_keyprefix", "unacked_index_key", "redis_socket_keepalive",
     "cassandra_keyspace", "task_default_queue", "broker_url"],
)  # fmt: skip
def test_a_harmless_name_is_no_secret(name):
    assert not is_secret(name)


def test_which_settings_are_hidden_whole():
    hidden = {key for key, known in OPTIONS.items() if censor(key, "x", secret=known.secret) != "x"}
    assert hidden == {
        "broker_password", "redis_password", "redis_backend_credential_provider", "security_key",
        "security_key_password", "s3_access_key_id", "s3_secret_access_key", "cassandra_auth_kwargs",
    }  # fmt: skip


def test_values_that_hold_themselves_do_not_hang_the_listing():
    loop: dict[str, object] = {}
    loop["again"] = loop
    assert "..." in str(censor("x", loop))


def test_nothing_is_masked_where_nothing_is_set():
    assert censor("redis_password", None) is None
    assert censor("redis_password", "") == ""


def test_rows_tell_all_that_is_known_of_a_setting():
    conf = Conf()
    conf.task_acks_late = False
    row = {row.key: row for row in conf.rows()}["task_acks_late"]
    assert (row.value, row.default, row.used) == (False, True, True)
    assert row.origin.kind == "code"
    assert row.doc == OPTIONS["task_acks_late"].doc
    assert len(conf.rows()) == len(OPTIONS)
    assert [row.key for row in conf.rows(with_defaults=False)] == ["task_acks_late"]


def test_a_row_of_the_users_own_has_no_sentence():
    conf = Conf()
    conf.config_from_object({"my_own": 1})
    assert conf.rows(with_defaults=False) == [("my_own", 1, Origin("object", "dict"), "", None, True, "")]


def test_settings_without_effect_are_reported_with_the_reason():
    conf = Conf()
    conf.update(s3_bucket="x", worker_pool_putlocks=False, task_acks_late=True)
    found = {row.key: row.unused for row in conf.unused()}
    assert set(found) == {"s3_bucket", "worker_pool_putlocks"}
    assert [has_effect(key) for key in ("s3_bucket", "task_acks_late", "MY_OWN")] == [False, True, True]
    assert found["s3_bucket"] == "Skirret has no S3 result store"


def test_humanize_has_one_setting_a_line():
    conf = Conf()
    conf.update(task_default_queue="x", my_own=[1])
    assert conf.humanize() == "task_default_queue: 'x'\nmy_own: [1]"
    assert len(conf.humanize(with_defaults=True).splitlines()) == len(OPTIONS) + 1


def test_a_key_and_its_secret_without_a_host_are_masked_too():
    text = "sqs://ABCDEF:ZYXK7NiynG/1234567890/my-queue"
    conf = Conf()
    conf.update(broker_url=text)
    assert conf.broker_url == text
    assert "ZYXK7NiynG" not in conf.humanize()
    assert "ZYXK7NiynG" not in str(parse(text)) + repr(parse(text)) + mask(text)
    assert parse(text).password == "ZYXK7NiynG"
    assert parse(text).path == "/1234567890/my-queue"
