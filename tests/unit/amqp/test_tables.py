"""Field tables come back as they went, agree with another library's, and never trip over what is no table."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as peer
from pamqp import encode as peer_encode

from skirret.errors import DecodeError, EncodeError
from skirret.stores.amqp import tables

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(st.text(max_size=30), PLAIN, max_size=8)


@given(TABLES)
def test_a_table_comes_back_as_it_went(table):
    data = tables.encode(table)
    assert tables.decode(data, 0) == (table, len(data))


@given(TABLES)
def test_another_library_reads_what_we_write(table):
    data = tables.encode(table)
    assert peer.field_table(data) == (len(data), table)


def test_we_read_what_another_library_writes():
    moment = datetime(2026, 11, 27, 7, 30, tzinfo=UTC)
    table = {
        "text": "ü",
        "bytes": bytearray(b"\xff\x00"),
        "small": 1,
        "large": 2**40,
        "yes": True,
        "none": None,
        "when": moment,
        "price": Decimal("3.14"),
        "list": [1, "two", {"three": 3}],
        "float": 1.5,
    }
    found, _ = tables.decode(peer_encode.field_table(table), 0)
    assert found == {**table, "bytes": b"\xff\x00"}


@given(st.binary(max_size=200))
def test_what_is_no_table_is_refused_and_nothing_else_happens(data):
    try:
        found, _ = tables.decode(data, 0)
    except DecodeError:
        return
    assert isinstance(found, dict)


@given(TABLES, st.data())
def test_a_table_that_was_cut_is_refused(table, data):
    whole = tables.encode(table)
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DecodeError):
        tables.decode(whole[:at], 0)


def test_tables_in_tables_have_an_end():
    inner = b""
    for _ in range(100):
        inner = b"\x01kF" + len(inner).to_bytes(4, "big") + inner
    with pytest.raises(DecodeError, match="more than 32"):
        tables.decode(len(inner).to_bytes(4, "big") + inner, 0)


@pytest.mark.parametrize("value", [2**63, object(), "\ud800", Decimal("1e400")])
def test_what_amqp_cannot_hold_is_refused_with_its_reason(value):
    with pytest.raises(EncodeError):
        tables.encode({"name": value})


def test_a_name_of_more_than_255_bytes_is_refused():
    with pytest.raises(EncodeError, match="256 bytes"):
        tables.encode({"x" * 256: 1})
