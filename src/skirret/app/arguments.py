"""Do these arguments fit the task's function? Answered at the call, from a signature that is read once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_KINDS = inspect.Parameter


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function whose annotations may name what is not there, or not there yet.

    Python 3.14 evaluates annotations only when they are asked for, so that they may name types imported for type
    checkers alone or defined further down; asking for their values would fail. Here they are read as text.

    Args:
        function: any callable.

    Returns:
        The signature; on Python 3.14 and newer its annotations are strings, before that whatever the function has.

    Raises:
        TypeError: it is not callable.
        ValueError: it has no signature, as some functions of C extensions.
    """
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        found = inspect.signature(function, annotation_format=Format.STRING)
    else:
        found = inspect.signature(function)
    return found


class Arguments:
    """The parameters of a task's ``run``, ready to check calls against.

    Args:
        run: the function as it will be called (without ``self``).
        name: the task's name, for messages.
    """

    __slots__ = ("_names", "_plain", "_required", "_signature", "_total", "name")

    def __init__(self, run: Callable[..., Any], name: str) -> None:
        self.name = name
        self._signature: inspect.Signature | None
        try:
            self._signature = signature_of(run)
        except (TypeError, ValueError):  # functions of C extensions may have none
            self._signature = None
            parameters: list[inspect.Parameter] = []
        else:
            parameters = list(self._signature.parameters.values())
        # Plain parameters (no *args, **kwargs, keyword-only or positional-only) are checked by counting.
        self._plain = self._signature is not None and all(p.kind is _KINDS.POSITIONAL_OR_KEYWORD for p in parameters)
        self._names = tuple(p.name for p in parameters)
        self._required = sum(p.default is _KINDS.empty for p in parameters)
        self._total = len(parameters)

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Return if the call fits.

        Raises:
            TypeError: it does not; the message shows the signature.
        """
        if self._plain:
            given = len(args)
            if not kwargs:
                if self._required <= given <= self._total:
                    return
            else:
                open_names = self._names[given:]
                missing = self._names[given : self._required]
                if all(name in open_names for name in kwargs) and all(name in kwargs for name in missing):
                    return
        if self._signature is None:
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(
                f"task {self.name!r} takes {_shown(self._signature)}, but the call does not fit: {exc}. "
                "(typing=False on the task leaves this check to the worker.)"
            ) from None


def _shown(signature: inspect.Signature) -> str:
    if sys.version_info >= (3, 14):
        text = signature.format(quote_annotation_strings=False)
    else:
        text = str(signature)
    return text
