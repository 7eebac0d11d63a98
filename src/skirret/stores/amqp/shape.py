"""What content headers of one kind have in common, so that of the next one only the values are read.

Nearly all messages of a queue have the same properties and headers, with texts of the same lengths. All that a reader
decides by, which is names, types and lengths, is then the same bytes at the same places: one comparison proves it, and
the values in between are cut out in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, NamedTuple


class Value(NamedTuple):
    """A value that may differ: what it is, what reads it from its bytes, and from where to where these are."""

    name: str
    read: Callable[[bytes], Any]
    start: int
    end: int
    is_header: bool = False


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
        for value in values:
            formats.append(f"{value.start - at}s{value.end - value.start}s")
            fixed.append(payload[at : value.start])
            at = value.end
        formats.append(f"{len(payload) - at}s")
        fixed.append(payload[at:])
        self._cut = Struct("".join(formats)).unpack
        self._fixed = tuple(fixed)
        self._empty: dict[str, Any] = dict.fromkeys(headers)
        places = [(value, 2 * number + 1) for number, value in enumerate(values)]
        self._properties = [(value.name, value.read, place) for value, place in places if not value.is_header]
        self._headers = [(value.name, value.read, place) for value, place in places if value.is_header]

    def read(self, payload: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Properties and headers of a content header that has the size of the first; None if it is not like that.

        Raises:
            DecodeError: one of the values cannot be read.
        """
        pieces = self._cut(payload)
        if pieces[::2] != self._fixed:
            return None
        headers = self._empty.copy()
        try:
            for name, read, place in self._headers:
                headers[name] = read(pieces[place])
            return {name: read(pieces[place]) for name, read, place in self._properties}, headers
        except UnicodeDecodeError:  # where the first had text there are bytes of another kind
            return None
