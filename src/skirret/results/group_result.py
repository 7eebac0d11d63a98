"""GroupResult: the results of a group, under an id of its own by which they can be stored and found again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skirret.backends.base import ResultBackend
from skirret.results.base import ResultBase
from skirret.results.protocol import ResultApp, app_in_use
from skirret.results.reader import ResultReader, reader_of
from skirret.results.result_set import ResultSet
from skirret.results.tuples import result_from_tuple


class GroupResult(ResultSet):
    """The results of one group; compares equal to its id, and to an equal group.

    Args:
        id: the group's id.
        results: handles of the members.
        parent: the result that the group follows in a chain.
        app: by default the first member's, else the current one.
    """

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[ResultBase] | None = None,
        parent: ResultBase | None = None,
        app: ResultApp | None = None,
    ) -> None:
        super().__init__(results, app=app)
        self.id = id or ""
        self.parent = parent

    def save(self, backend: ResultBackend | None = None) -> None:
        """Store which results belong to the group, so that `restore` finds them by its id.

        Raises:
            BackendError: the store cannot be written.
        """
        from skirret.wire import results  # not needed by those who only publish

        reader = _reader(backend, self.app)
        compression = self.app.conf.get("result_compression")
        payload = results.encode_group(self.as_tuple(), serializer=reader.serializer, compression=compression)
        expires: Any = self.app.conf.get("result_expires")
        ttl = expires.total_seconds() if hasattr(expires, "total_seconds") else expires
        reader.backend.store_group(self.id, payload, ttl or None)

    def delete(self, backend: ResultBackend | None = None) -> None:
        """Delete what `save` stored; the members' results stay."""
        _reader(backend, self.app).backend.forget_group(self.id)

    @classmethod
    def restore(
        cls,
        id: str,
        backend: ResultBackend | None = None,
        app: ResultApp | None = None,
    ) -> ResultBase | None:
        """The group that was saved under `id`, or None.

        Raises:
            BackendError: the store cannot be read, or holds something else under that id.
        """
        from skirret.wire import results

        app = app_in_use(app)
        reader = _reader(backend, app)
        payload = reader.backend.fetch_group(id)
        if payload is None:
            return None
        members = results.decode_group(payload, accept=reader.accept, serializer=reader.serializer)
        return result_from_tuple(members, app)

    def own_tuple(self, parent: Any) -> Any:
        return (self.id, parent), [member.as_tuple() for member in self.results]

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return self.id == other.id and self.results == other.results and self.parent == other.parent
        if isinstance(other, str):
            return self.id == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.results, self.parent)

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(member.id for member in self.results)}]>"


def _reader(backend: ResultBackend | None, app: ResultApp) -> ResultReader:
    return app.reader if backend is None else reader_of(backend, app.conf)
