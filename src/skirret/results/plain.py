"""A result meta as a dict: the form in which Celery's callbacks receive it."""

from __future__ import annotations

import dataclasses
from typing import Any

from skirret.meta import ResultMeta

_ALWAYS = {"task_id", "status", "result", "traceback", "children", "date_done"}
_NAMES = [field.name for field in dataclasses.fields(ResultMeta)]


def plain(meta: ResultMeta) -> dict[str, Any]:
    """`meta` as the dict that Celery's callbacks receive; fields of ``result_extended`` only where they are set."""
    fields = ((name, getattr(meta, name)) for name in _NAMES)
    return {name: value for name, value in fields if name in _ALWAYS or value not in (None, {})}
