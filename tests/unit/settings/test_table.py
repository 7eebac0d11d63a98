"""The table of settings against Celery's own, and against itself."""

from __future__ import annotations

import pytest
from celery.app import defaults as peer

from skirret.settings import OPTIONS, coming
from skirret.settings.option import SAME, Section
from skirret.settings.sections import SECTIONS, TaskSettings
from skirret.settings.table import OLD_NAMES, canonical, misspelt

DIFFERENT_DEFAULTS = {
    "task_acks_late": (False, True),
    "task_create_missing_queue_type": ("classic", "quorum"),
    "task_default_queue_type": ("classic", None),
    "task_reject_on_worker_lost": (None, True),
    "beat_scheduler": ("celery.beat:PersistentScheduler", "skirret.beat:PersistentScheduler"),
    "worker_autoscaler": ("celery.worker.autoscale:Autoscaler", None),
    "worker_consumer": ("celery.worker.consumer:Consumer", None),
}
"""Key -> Celery's default, ours. Nothing else may differ."""

DOCUMENTED_ONLY = {
    *(f"{who}_{what}" for who in ("beat", "events", "worker")
      for what in ("executable", "gid", "logfile", "pidfile", "uid", "umask")),
    "cassandra_secure_bundle_path", "override_backends", "redis_backend_credential_provider",
    "redis_backend_health_check_interval", "redis_client_name", "result_backend_thread_safe",
}  # fmt: skip

OUR_OWN = {
    "priority_order": "guide",
    "security": "celery",
    "coordination_url": None,
    "task_default_rate_limit_scope": "worker",
    "worker_grace": None,
    "worker_processes": 1,
    "worker_lease": 30.0,
    "worker_progress_timeout": 30.0,
    "worker_crash_limit": 3,
    "worker_delivery_limit": 10,
    "message_max_bytes": 16 * 1024 * 1024,
    "broker_publish_timeout": 5.0,
    "middleware": (),
    "worker_blocked_loop_warning": 0.5,
    "worker_log_json": False,
    "worker_memory_cap_per_child": None,
    "unknown_task_patience": 60.0,
    "embedded_path": None,
}

# Celery's documentation maps this name, Celery's code does not.
OLD_NAMES_OF_THE_MANUAL = {"CELERY_ENABLE_UTC": "enable_utc"}


def test_every_key_of_celery_is_known():
    assert len(peer.DEFAULTS) == 207
    assert set(OPTIONS) == set(peer.DEFAULTS) | DOCUMENTED_ONLY | set(OUR_OWN)


def test_defaults_are_celerys_except_the_intended_ones():
    found = {
        key: (default, OPTIONS[key].default)
        for key, default in peer.DEFAULTS.items()
        if default != OPTIONS[key].default or type(default) is not type(OPTIONS[key].default)
    }
    assert found == DIFFERENT_DEFAULTS


def test_the_table_says_itself_where_its_default_is_not_celerys():
    said = {key: (known.celery, known.default) for key, known in OPTIONS.items() if known.celery is not SAME}
    assert said == DIFFERENT_DEFAULTS


def test_our_own_settings_have_the_promised_defaults():
    assert {key: OPTIONS[key].default for key in OUR_OWN} == OUR_OWN


def test_every_old_name_of_celery_leads_to_the_same_key():
    assert peer._TO_NEW_KEY | OLD_NAMES_OF_THE_MANUAL == OLD_NAMES


@pytest.mark.parametrize("key", OPTIONS)
def test_each_setting_accepts_its_default_and_is_told_in_one_sentence(key):
    known = OPTIONS[key]
    assert known.coerce(known.fresh_default()) == known.default
    assert known.doc[0].isupper()
    assert known.doc.endswith(".")
    assert ". " not in known.doc


@pytest.mark.parametrize("key", [key for key, known in OPTIONS.items() if not known.optional])
def test_none_is_refused_where_the_type_does_not_allow_it(key):
    with pytest.raises(ValueError, match="not None"):
        OPTIONS[key].coerce(None)


def test_settings_of_absent_stores_are_known_and_marked_unused():
    for group in ("cassandra", "s3", "azureblockblob", "gcs", "couchbase", "arangodb", "cosmosdbsql", "elasticsearch"):
        found = [known for key, known in OPTIONS.items() if key.startswith(f"{group}_")]
        assert found
        assert not any(known.used for known in found)


def test_settings_of_parts_that_are_still_to_come_say_so():
    for key in ("beat_schedule", "security", "security_key", "database_url"):
        assert "still to come" in OPTIONS[key].unused
    for key in ("task_acks_late", "worker_grace", "worker_concurrency", "result_expires", "broker_url"):
        assert OPTIONS[key].used
    # Each entry means a setting that there is.
    names = [name for names in coming._PARTS.values() for name in names]
    assert all(any(key == name or key.startswith(name) for key in OPTIONS) for name in names)


def test_a_section_is_frozen_and_typed_by_its_fields():
    tasks = TaskSettings(task_acks_late=False)
    assert tasks.task_acks_late is False
    assert tasks.task_default_queue == "celery"
    with pytest.raises(AttributeError, match="frozen"):
        tasks.task_acks_late = True
    with pytest.raises(TypeError, match="task_ack_late"):
        TaskSettings(task_ack_late=True)


def test_sections_share_no_mutable_default():
    TaskSettings().task_publish_retry_policy["max_retries"] = 99
    assert TaskSettings().task_publish_retry_policy["max_retries"] == 3


def test_no_key_stands_in_two_sections():
    assert sum(len(section.options) for section in SECTIONS) == len(OPTIONS)
    assert all(issubclass(section, Section) for section in SECTIONS)


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("task_ack_late", "task_acks_late"),
        ("results_backend", "result_backend"),
        ("task_serialiser", "task_serializer"),
        ("broker_ur", "broker_url"),
        ("includes", "include"),
        ("task_route", "task_routes"),
        ("worker_prefetch_multipler", "worker_prefetch_multiplier"),
        ("task_timelimit", "task_time_limit"),
        ("CELERY_ACK_LATE", "CELERY_ACKS_LATE"),
        ("CELERYD_CONCURENCY", "CELERYD_CONCURRENCY"),
        ("CELERY_TASK_ACKS_LATE", 'task_acks_late, or read the names with namespace="CELERY"'),
    ],
)
def test_a_misspelt_name_is_recognised(wrong, right):
    assert misspelt(wrong) == right


@pytest.mark.parametrize(
    "name",
    ["broker", "backend", "host", "my_setting", "redbeat_redis_url", "redbeat_key_prefix", "result_backend_db",
     "beat_dburi", "task_queue_names", "singleton_backend_url", "worker_timeout", "redis_url", "SECRET_KEY",
     "DATABASES", "TIME_ZONE", "INSTALLED_APPS"],
)  # fmt: skip
def test_a_name_of_the_users_own_is_left_alone(name):
    assert misspelt(name) is None


@pytest.mark.parametrize(
    "name, prefix, key",
    [
        ("task_acks_late", "", "task_acks_late"),
        ("CELERY_ACKS_LATE", "", "task_acks_late"),
        ("BROKER_URL", "", "broker_url"),
        ("CELERY_TASK_ACKS_LATE", "CELERY_", "task_acks_late"),
        ("CELERY_ACKS_LATE", "CELERY_", "task_acks_late"),
        ("CELERYD_POOL", "CELERY_", "worker_pool"),
        ("CELERY_RESULT_BACKEND", "CELERY_", "result_backend"),
        ("celery_task_acks_late", "celery_", "task_acks_late"),
        ("CELERY_MY_OWN", "CELERY_", "my_own"),
        ("MY_OWN", "CELERY_", "MY_OWN"),
        ("my_own", "", "my_own"),
    ],
)
def test_every_spelling_of_a_name_leads_to_its_key(name, prefix, key):
    assert canonical(name, prefix) == key
