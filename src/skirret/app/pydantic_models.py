"""``pydantic=True``: arguments annotated with a model arrive as the model; returned models leave as plain values."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skirret.app.arguments import signature_of
from skirret.errors import MissingDependency


class PydanticModels:
    """The models in a task's signature.

    Args:
        app: shown to validators as context ``celery_app``.
        function: the task's function.
        name: the task's name, shown as ``celery_task_name``.
        bind: whether the first parameter is the task itself.
        strict: pydantic's strict mode.
        context: further validation context.
        dump_kwargs: arguments of ``model_dump``; ``mode="json"`` unless said.
    """

    def __init__(
        self,
        app: Any,
        function: Callable[..., Any],
        name: str,
        *,
        bind: bool,
        strict: bool,
        context: Mapping[str, Any] | None,
        dump_kwargs: Mapping[str, Any] | None,
    ) -> None:
        try:
            from pydantic import BaseModel
        except ImportError as exc:
            raise MissingDependency('pydantic=True needs pydantic: pip install "skirret[pydantic]"') from exc
        self._base: Any = BaseModel
        self._function = function
        self._bind = bind
        self._strict = strict
        self._context = {**(context or {}), "celery_app": app, "celery_task_name": name}
        self._dump = {"mode": "json", **(dump_kwargs or {})}
        self._signature = signature_of(function)

    @functools.cached_property
    def _models(self) -> dict[str, Any]:
        # Read at the first call, when names that annotations refer to are all defined.
        try:
            hints = typing.get_type_hints(self._function)
        except (NameError, AttributeError, TypeError):
            hints = _present_annotations(self._function)
        found = {name: self._model(hint) for name, hint in hints.items()}
        return {name: model for name, model in found.items() if model is not None}

    def _model(self, hint: Any) -> Any:
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
            hint = choices[0] if len(choices) == 1 else None
        return hint if isinstance(hint, type) and issubclass(hint, self._base) else None

    def dump_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """A call's arguments with models made plain, so that they can travel."""
        return tuple(self._plain(value) for value in args), {name: self._plain(value) for name, value in kwargs.items()}

    def _plain(self, value: Any) -> Any:
        return value.model_dump(**self._dump) if isinstance(value, self._base) else value

    def _load(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        bound = self._signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            model = self._models.get(name)
            if model is not None and value is not None:
                bound.arguments[name] = model.model_validate(value, strict=self._strict, context=self._context)
        return bound

    def _leave(self, value: Any) -> Any:
        model = self._models.get("return")
        return self._plain(value) if model is not None and isinstance(value, model) else value

    def wrapped(self) -> Callable[..., Any]:
        """The function with arguments validated and its return value made plain."""
        function = self._function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def arun(*args: Any, **kwargs: Any) -> Any:
                bound = self._load(args, kwargs)
                return self._leave(await function(*bound.args, **bound.kwargs))

            return arun

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            bound = self._load(args, kwargs)
            return self._leave(function(*bound.args, **bound.kwargs))

        return run


def _present_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function of which at least one names what is not there; that one is no model."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        signature = inspect.signature(function, annotation_format=Format.FORWARDREF)
    else:
        signature = inspect.signature(function)
    found = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return {**found, "return": signature.return_annotation}
