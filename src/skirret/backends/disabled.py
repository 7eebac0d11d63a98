"""The backend of an app without results: it keeps nothing, and reading says how to turn results on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from skirret.backends.base import ResultBackend
from skirret.errors import ResultsDisabled
from skirret.message import Record
from skirret.url import Url

ADVICE = (
    "This app keeps no results: it has a broker but no result_backend. Set one, for instance "
    'result_backend = "sqlite:///results.sqlite3", in the app and in its workers, and send the task again.'
)


class DisabledBackend(ResultBackend):
    """Keeps nothing."""

    enabled: ClassVar[bool] = False

    @classmethod
    def from_url(cls, url: Url, options: Mapping[str, Any]) -> DisabledBackend:
        """The one there is."""
        return cls()

    @property
    def identity(self) -> str:
        """Of no server."""
        return "disabled"

    def store(self, records: Sequence[Record]) -> list[bool]:
        """Do nothing, and say that all is well."""
        return [True] * len(records)

    def fetch(self, task_ids: Sequence[str]) -> NoReturn:
        """Raise ResultsDisabled."""
        raise ResultsDisabled(ADVICE)

    def wait(self, task_ids: Sequence[str], timeout: float) -> NoReturn:
        """Raise ResultsDisabled."""
        raise ResultsDisabled(ADVICE)

    def forget(self, task_ids: Sequence[str]) -> int:
        """There is nothing to forget."""
        return 0

    def interrupt(self) -> None:
        """Nobody waits."""

    def cleanup(self) -> int:
        """There is nothing to clean up."""
        return 0

    def close(self) -> None:
        """Nothing to let go of."""
