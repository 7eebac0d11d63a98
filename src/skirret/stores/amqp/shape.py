"""What content headers of one kind have in common, so that of the next one only the values are read.

Most messages of a queue have the same properties and headers, many with texts of the same lengths. All that a reader
decides by, which is names, types and lengths, is then the same bytes at the same places: one comparison proves it, and
the values in between are cut out in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any

VARYING = frozenset({"correlation_id", "reply_to", "message_id", "timestamp"})
"""Properties that differ from message to message; nearly all others are as they were."""


Value = tuple[str, Callable[[bytes], Any], int, int, bool]
"""A value that may differ: its name, what reads it from its bytes, from where to where these are, and whether it is a
header (else a property)."""


class Shape:
    """Where the values lie in content headers that are like one.

    Args:
        payload: that one.
        begins: where what they have in common begins.
        values: in their order; all other bytes are the same in all that are like it.
        headers: the names of all headers; those without a value are None.
    """

    def __init__(self, payload: bytes, begins: int, values: Sequence[Value], headers: Iterable[str]) -> None:
        formats = [f">{begins}x"]
        fixed: list[bytes] = []
        at = begins
        for _, _, start, end, _ in values:
            formats.append(f"{start - at}s{end - start}s")
            fixed.append(payload[at:start])
            at = end
        formats.append(f"{len(payload) - at}s")
        fixed.append(payload[at:])
        self.misses = 0
        """How many headers it did not fit, since the last that it did."""
        self._cut = Struct("".join(formats)).unpack
        self._fixed = tuple(fixed)
        self._empty: dict[str, Any] = dict.fromkeys(headers)
        self._texts: list[tuple[str, int]] = []
        self._ids: list[tuple[str, Callable[[bytes], Any], int]] = []
        self._steady: list[tuple[str, Callable[[bytes], Any], bool, int]] = []
        for number, (name, read, _, _, is_header) in enumerate(values):
            place = 2 * number + 1
            if is_header and read is bytes.decode:
                self._texts.append((name, place))
            elif not is_header and name in VARYING:
                self._ids.append((name, read, place))
            else:
                self._steady.append((name, read, is_header, place))
        # What is steady was mostly the same the last time, and is dearer to read than to compare. In one piece, since
        # several threads read.
        self._last: tuple[list[bytes] | None, dict[str, Any], dict[str, Any]] = (None, {}, {})

    def read(self, payload: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Properties and headers of a content header that has the size of the first; None if it is not like that.

        Tables and arrays in headers may be those of an earlier message: nobody changes them.

        Raises:
            DecodeError: one of the values cannot be read.
        """
        pieces = self._cut(payload)
        if pieces[::2] != self._fixed:
            self.misses += 1
            return None
        self.misses = 0
        steady = [pieces[place] for _, _, _, place in self._steady]
        last = self._last
        try:
            if last[0] != steady:
                self._last = last = (steady, *self._read_steady(pieces))
            properties, headers = last[1].copy(), last[2].copy()
            for name, read, place in self._ids:
                properties[name] = read(pieces[place])
            for name, place in self._texts:
                headers[name] = pieces[place].decode()
        except UnicodeDecodeError:  # where the first had text there are bytes of another kind
            return None
        return properties, headers

    def _read_steady(self, pieces: Sequence[bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
        properties: dict[str, Any] = {"delivery_mode": None}
        headers = self._empty.copy()
        for name, read, is_header, place in self._steady:
            (headers if is_header else properties)[name] = read(pieces[place])
        return properties, headers
