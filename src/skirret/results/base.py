"""What all handles of results share: an optional parent, and a form that messages and stores can carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from skirret.errors import IncompleteStream

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # Only checkers know the default (PEP 696): a bare `AsyncResult` is an AsyncResult[Any] for them.
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")


class ResultBase(ABC):
    """A handle of something that will have a result: one task or a group."""

    parent: ResultBase | None = None
    """The result that this one follows in a chain."""

    id: str = ""
    """The id of the task or the group; empty for a plain set."""

    @property
    @abstractmethod
    def children(self) -> list[ResultBase] | None:
        """Results of what this one started, or None where that is not known."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it is finished."""

    @abstractmethod
    def get(self, *args: Any, **options: Any) -> Any:
        """Wait for the value."""

    @abstractmethod
    def forget(self) -> None:
        """Delete the result."""

    def own_tuple(self, parent: Any) -> Any:
        """This result in plain values; `parent` is its parent's."""
        return (self.id, parent), None

    def as_tuple(self) -> Any:
        """The handle in plain values, which ``result_from_tuple`` reads.

        ``((id, parent), None)`` for a task, ``((id, parent), [member, ...])`` for a group; `parent` is such a tuple or
        None. The form is Celery's.
        """
        plain: Any = None
        # Not by recursion: the parents of a long chain are deeper than Python's stack.
        for node in reversed([self, *self.parents()]):
            plain = node.own_tuple(plain)
        return plain

    def as_list(self) -> list[str]:
        """The ids of this result and its parents, this one first."""
        return [self.id, *(node.id for node in self.parents())]

    def parents(self) -> Iterator[ResultBase]:
        """The parents, the nearest first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[ResultBase | None, ResultBase]]:
        """Walk the tree of what this one started, level by level, as (parent, result) pairs.

        Args:
            intermediate: pass over results that are not ready, instead of raising.

        Raises:
            IncompleteStream: a result is not ready, so that its children are not known.
        """
        level: list[tuple[ResultBase | None, ResultBase]] = [(None, self)]
        for parent, node in level:
            yield parent, node
            if node.ready():
                level.extend((node, child) for child in node.children or ())
            elif not intermediate:
                raise IncompleteStream(
                    f"Result {node.id} is not ready, so what it started is not known. Wait for it first, or pass "
                    f"intermediate=True."
                )

    def collect(self, intermediate: bool = False, **options: Any) -> Iterator[tuple[ResultBase, Any]]:
        """Walk the tree of what this one started, as (result, value) pairs, waiting for each.

        Args:
            intermediate: pass over results that are not ready when their children are asked for.
            options: as `get` takes them.

        Raises:
            IncompleteStream: see `iterdeps`.
            Exception: what `get` raises.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**options)

    def __str__(self) -> str:
        return str(self.id)
