"""Serializers and compression against kombu's: what one writes the other reads to equal values, both ways."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import compression as kombu_compression
from kombu import serialization as kombu_serialization
from kombu.utils import json as kombu_json

from skirret import serializers
from skirret.errors import DecodeError, EncodeError
from skirret.serializers import compression
from skirret.serializers import json as dialect
from tests.wire import peers
from tests.wire.values import MOMENT, ODD, dialect_values, plain


@given(dialect_values)
def test_json_that_we_write_is_read_alike_by_kombu_and_by_us(value):
    body = dialect.dumps(value)
    assert peers.same(kombu_json.loads(body), value)
    assert peers.same(dialect.loads(body), value)


@given(dialect_values)
def test_json_that_kombu_writes_is_read_alike_by_kombu_and_by_us(value):
    body = kombu_json.dumps(value).encode()
    assert peers.same(dialect.loads(body), kombu_json.loads(body))


@given(
    st.text('[]{},:"\\ue0 1.5-+Etrufalsn\t_y', max_size=40).map(str.encode)
    | plain.map(lambda value: json.dumps(value).encode()).flatmap(
        lambda body: st.builds(
            lambda at, byte: body[:at] + byte + body[at + 1 :], st.integers(0, 60), st.binary(max_size=1)
        )
    )
)
def test_any_text_is_json_to_us_exactly_if_it_is_to_kombu(body):
    try:
        wanted = kombu_json.loads(body)
    except Exception:
        with pytest.raises(DecodeError):
            dialect.loads(body)
    else:
        assert peers.same(dialect.loads(body), wanted)


def test_odd_values_are_written_in_kombus_very_bytes():
    assert dialect.dumps(ODD) == kombu_json.dumps(ODD).encode()


class Told:
    def __json__(self):
        return {"told": [1, ODD["day"]]}


class Words(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Told(),
        [Told()],
        Words("x"),
        Number(3),
        {Words("k"): 1},
        {2: 2, None: 3, True: 4, 1.5: 5},
        (1, (2, 3)),
        {1, 2},
        frozenset(),
        object(),
        1j,
        bytearray(b"x"),
        memoryview(b"x"),
        dt.timedelta(1),
        range(3),
        {(1, 2): 3},
        type("Loop", (), {"__json__": lambda self: self})(),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)),  # the same names in every process
)
def test_json_treats_every_type_as_kombu_does(value):
    try:
        wanted = kombu_serialization.dumps(value, "json")[2].encode()
    except Exception:
        with pytest.raises(EncodeError):
            dialect.dumps(value)
    else:
        assert json.loads(dialect.dumps(value)) == json.loads(wanted)


def test_a_type_that_the_user_registers_travels_as_with_kombu():
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __eq__(self, other):
            return (self.x, self.y) == (other.x, other.y)

        __hash__ = None

    dialect.register_type(Point, "test-point", lambda p: [p.x, p.y], lambda told: Point(*told))
    body = dialect.dumps({"p": Point(1, 2)})
    assert json.loads(body) == {"p": {"__type__": "test-point", "__value__": [1, 2]}}
    assert dialect.loads(body) == {"p": Point(1, 2)}


def test_an_old_uuid_with_is_safe_is_read():
    body = b'{"__type__": "uuid", "__value__": {"hex": "00112233445566778899aabbccddeeff", "is_safe": 0}}'
    assert dialect.loads(body) == ODD["uuid"]


def test_a_lazy_text_of_django_is_written_as_text(monkeypatch):
    class Promise:
        def __str__(self):
            return "later"

    module = types.ModuleType("django.utils.functional")
    module.Promise = Promise
    monkeypatch.setitem(sys.modules, "django.utils.functional", module)
    assert dialect.dumps([Promise()]) == b'["later"]'


msgpack_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])) | st.binary(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(msgpack_values)
def test_msgpack_is_the_same_in_both_directions(value):
    ours = serializers.dumps(value, "msgpack")
    kombus = kombu_serialization.dumps(value, "msgpack")
    assert ours[:2] == kombus[:2]
    assert peers.same(kombu_serialization.loads(ours[2], *ours[:2], accept={ours[0]}), value)
    assert peers.same(serializers.loads(kombus[2], *kombus[:2], ["msgpack"]), value)
    if "nan" not in repr(value):
        assert ours[2] == kombus[2]


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        ODD["uuid"],
        ODD["money"],
        {1, 2},
        object(),
        2**64,
        -(2**63) - 1,
        Words("x"),
        Number(3),
        (1, (2,)),
        bytearray(b"x"),
    ],
    ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)),  # the same names in every process
)
def test_msgpack_treats_every_type_as_kombu_does(value):
    try:
        wanted = kombu_serialization.dumps(value, "msgpack")[2]
    except Exception:
        with pytest.raises(EncodeError):
            serializers.dumps(value, "msgpack")
    else:
        assert serializers.dumps(value, "msgpack")[2] == wanted


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**6), 10**6)
        | st.text(st.characters(codec="ascii", min_codepoint=32))
        | st.datetimes(min_value=dt.datetime(1900, 1, 1)),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_yaml_is_the_same_in_both_directions(value):
    ours = serializers.dumps(value, "yaml")
    kombus = kombu_serialization.dumps(value, "yaml")
    assert ours[:2] == kombus[:2]
    assert kombu_serialization.loads(ours[2], *ours[:2], accept={ours[0]}) == value
    assert serializers.loads(kombus[2].encode(), *kombus[:2], ["yaml"]) == value


@pytest.mark.parametrize("part", ["x", "e", "-", ".", "b0", "1.2.", "0x", "1:", "_"])
def test_a_long_word_in_yaml_is_no_number_for_looking_like_one(part):
    value = [part * 5000 + ("z" if part == "1:" else "")]
    assert serializers.loads(serializers.dumps(value, "yaml")[2], "application/x-yaml", "utf-8", ["yaml"]) == value


def test_yaml_of_shared_parts_is_read():
    part = ["x"]
    body = kombu_serialization.dumps([part, part, {"k": part}], "yaml")[2].encode()
    assert b"&id001" in body
    assert serializers.loads(body, "application/x-yaml", "utf-8", ["yaml"]) == [part, part, {"k": part}]


@given(st.binary(), st.sampled_from(["gzip", "zlib", "bzip2", "bzip", "lzma", "xz", "brotli"]))
def test_compression_is_kombus_in_both_directions(body, method):
    ours, kind = compression.compress(body, method)
    theirs_too, their_kind = kombu_compression.compress(body, method)
    assert kind == their_kind
    assert kombu_compression.decompress(ours, kind) == body
    assert compression.decompress(theirs_too, kind) == body
