"""``task_annotations``: attributes of tasks, changed from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skirret.errors import ImproperlyConfigured
from skirret.plugins import import_object


def annotate(task: Any, annotations: Any) -> None:
    """Set the attributes that the settings say for this task; ``"*"`` means every task, its own name wins.

    Args:
        task: the task.
        annotations: a mapping task name -> attributes; an object or callable asked with the task; a dotted path to
            one; or a list of these, the first one strongest.

    Raises:
        ImproperlyConfigured: an annotation has no known form.
    """
    entries = annotations if isinstance(annotations, (list, tuple)) else [annotations]
    for entry in reversed([entry for entry in entries if entry is not None]):
        for attributes in _said_about(task, entry):
            for name, value in attributes.items():
                _set(task, name, value)


def _said_about(task: Any, entry: Any) -> list[Mapping[str, Any]]:
    # Weakest first.
    if isinstance(entry, str):
        entry = import_object(entry)
    if isinstance(entry, type):
        entry = entry()
    if isinstance(entry, Mapping):
        found: list[Any] = [entry.get("*"), entry.get(task.name)]
    elif hasattr(entry, "annotate"):
        found = [entry.annotate_any() if hasattr(entry, "annotate_any") else None, entry.annotate(task)]
    elif callable(entry):
        found = [entry(task)]
    else:
        raise ImproperlyConfigured(f"task_annotations holds {entry!r}, which is neither a mapping nor a callable")
    said: list[Mapping[str, Any]] = []
    for attributes in found:
        if not attributes:
            continue
        if not isinstance(attributes, Mapping):
            raise ImproperlyConfigured(f"task_annotations gives {attributes!r} for {task.name}: not a mapping")
        said.append(attributes)
    return said


def _set(task: Any, name: str, value: Any) -> None:
    # A function becomes a method, as Celery's "@around" annotations and hooks expect.
    if callable(value) and not isinstance(value, type) and callable(getattr(task, name, None)):
        value = value.__get__(task)
    setattr(task, name, value)
