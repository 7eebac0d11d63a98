"""Values that are hard to carry, and strategies for any value."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

from hypothesis import strategies as st

MOMENT = dt.datetime(2031, 5, 6, 7, 8, 9, 101112, tzinfo=dt.UTC)
ODD = {
    "uuid": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
    "moment": MOMENT,
    "naive": MOMENT.replace(tzinfo=None),
    "day": dt.date(2030, 2, 28),
    "time": dt.time(23, 59, 58, 1),
    "money": decimal.Decimal("12.340"),
    "text_bytes": b"plain",
    "bytes": b"\xff\x00\xfe",
    "big": -(2**200),
    "nan": float("nan"),
    "lone": "\ud800",
    "words": "naïve ✓ \U0001f955",
}

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
dialect_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
