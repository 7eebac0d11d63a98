"""What content headers of one kind have in common, so that of the next one only the values are read.

Most messages of a queue have the same properties and headers, many with texts of the same lengths. All that a reader
decides by, which is names, types and lengths, is then the same bytes at the same places: one comparison proves it, and
the values in between are cut out in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any


class _Other:
    """A header that is no text, and what it was the last time: mostly the same, and dearer to read than to compare."""

    __slots__ = ("_last", "_read", "name", "place")

    def __init__(self, name: str, read: Callable[[bytes], Any], place: int) -> None:
        self.name = name
        self.place = place
        self._read = read
        self._last: tuple[bytes | None, Any] = (None, None)  # in one piece, since several threads read

    def value(self, data: bytes) -> Any:
        """What these bytes say."""
        last = self._last
        if last[0] != data:
            self._last = last = (data, self._read(data))
        return last[1]


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
        places = [
            (name, read, 2 * number + 1, is_header) for number, (name, read, _, _, is_header) in enumerate(values)
        ]
        self._properties = [one[:3] for one in places if not one[3]]
        headers_read = [one[:3] for one in places if one[3]]
        self._texts = [(name, place) for name, read, place in headers_read if read is bytes.decode]
        self._others = [_Other(*one) for one in headers_read if one[1] is not bytes.decode]

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
        headers = self._empty.copy()
        try:
            for name, place in self._texts:
                headers[name] = pieces[place].decode()
            for other in self._others:
                headers[other.name] = other.value(pieces[other.place])
            return {name: read(pieces[place]) for name, read, place in self._properties}, headers
        except UnicodeDecodeError:  # where the first had text there are bytes of another kind
            return None
