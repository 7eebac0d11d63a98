"""Names that are shared with kombu, words for errors, and scripts by hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import redis as kombu_redis
from kombu.transport.virtual.exchange import TopicExchange

from skirret.brokers.redis import scripts
from skirret.errors import ImproperlyConfigured
from skirret.stores.redis.facts import check, read_facts
from skirret.stores.redis.faults import Broken, Refused, in_words
from skirret.stores.redis.script import Script
from skirret.wire import redis_keys


class Channel(kombu_redis.Channel):
    """As much of kombu's channel as names need."""

    def __init__(self):
        pass

    def __del__(self):
        pass


@pytest.mark.parametrize("priority", range(10))
def test_each_priority_has_the_list_that_kombu_gives_it(priority):
    assert redis_keys.ready_list("q", priority) == Channel()._q_for_pri("q", priority)


def test_all_lists_are_those_that_kombu_looks_into():
    steps = kombu_redis.PRIORITY_STEPS
    assert redis_keys.ready_lists("q") == [Channel()._q_for_pri("q", step) for step in steps]
    assert list(redis_keys.PRIORITY_STEPS) == steps
    assert Channel.sep == redis_keys.SEPARATOR


def test_bindings_have_kombus_names():
    names = redis_keys.bindings("e")
    assert names == (Channel.keyprefix_queue % "e", Channel.keyprefix_binding_permanent % "e")
    assert redis_keys.binding("q", "rk") == "rk\x06\x16\x06\x16q"


@given(st.lists(st.sampled_from(["a", "#", "*", "b-c", "ü{1}", "", "x y", "\x00n"]), min_size=1).map(".".join))
def test_topics_are_matched_as_kombu_does(routing_key):
    theirs = TopicExchange.__new__(TopicExchange).key_to_pattern(routing_key)
    assert redis_keys.topic_pattern(routing_key).replace("\\\x00", "\\000") == theirs


@pytest.mark.parametrize(
    "text,code",
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed", "OOM"),
        ("READONLY You can't write against a read only replica. script: abc, on @user_script:1.", "READONLY"),
        ("MOVED 3999 127.0.0.1:6381", "MOVED"),
        ("ERR unknown command", "ERR"),
    ],
)
def test_the_first_word_of_a_refusal_is_found(text, code):
    assert Refused(text).code == code


def test_errors_say_where_and_what_to_do():
    assert "maxmemory" in str(in_words(Refused("OOM command not allowed"), "Redis server at h:1"))
    assert "h:1 did not answer in time" in str(in_words(Broken("x", timed_out=True), "Redis server at h:1"))
    assert "cannot be reached" in str(in_words(Broken(ConnectionResetError("reset")), "Redis server at h:1"))


def test_scripts_are_known_by_the_hash_of_their_text():
    for one in vars(scripts).values():
        if isinstance(one, Script):
            for major in (6, 7, 8):
                sha, text = one.source(major)
                assert sha == hashlib.sha1(text.encode()).hexdigest()
                assert text.startswith("#!lua") == (major >= 7)


def test_what_adds_messages_is_refused_by_a_full_server_and_what_takes_them_away_is_not():
    growing = {one.name for one in vars(scripts).values() if isinstance(one, Script) and not one.allow_oom}
    assert growing == {"publish", "publish_one", "replay", "register"}


INFO = "redis_version:{version}\r\nrole:{role}\r\nmaxmemory_policy:{policy}\r\naof_enabled:{aof}\r\nrun_id:abc\r\n"


def facts(version="7.0.15", role="master", policy="noeviction", aof="1"):
    return read_facts(INFO.format(version=version, role=role, policy=policy, aof=aof).encode())


@pytest.mark.parametrize(
    "told,what",
    [
        ({"policy": "allkeys-lfu"}, "allkeys-lfu"),
        ({"role": "slave"}, "replica"),
        ({"version": "6.0.9"}, "6.2"),
    ],
)
def test_servers_that_would_lose_tasks_are_refused(told, what):
    with pytest.raises(ImproperlyConfigured, match=what):
        check(facts(**told), "Redis server")


@pytest.mark.parametrize(
    "told,count",
    [({}, 0), ({"aof": "0"}, 1), ({"policy": "volatile-lru"}, 1), ({"aof": "0", "policy": "volatile-ttl"}, 2)],
)
def test_risks_are_warned_of(told, count):
    assert len(check(facts(**told), "Redis server")) == count


def test_a_server_that_tells_nothing_is_taken_for_an_old_one():
    found = read_facts(Refused("NOPERM this user has no permissions to run the 'info' command"))
    assert (found.major, found.minor, found.run_id) == (6, 2, "")
