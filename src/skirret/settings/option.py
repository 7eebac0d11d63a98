"""One setting: its type, bounds, default and what it is for; and the base of the sections that hold them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar, dataclass_transform

from skirret.settings import kinds
from skirret.settings.coming import coming


class Option:
    """What is known of one setting; made by `option` in a `Section`, whose field gives it key and type.

    Args:
        default: the value when nobody sets one; a dict is copied for each app.
        doc: one sentence for people.
        kind: checks a value; by default the one of the field's type.
        unit: of a number, such as ``seconds``.
        choices: the only values allowed.
        minimum: the least number allowed.
        maximum: the greatest number allowed.
        old: Celery's upper-case names from before version 4.
        celery: Celery's default, where ours differs on purpose.
        unused: why Skirret accepts the setting without using it; empty if it is used.
        secret: whether people must not see the value; by default told by the key.
    """

    __slots__ = (
        "annotation", "celery", "choices", "default", "doc", "key", "kind", "maximum", "minimum", "old", "optional",
        "secret", "section", "unit", "unused",
    )  # fmt: skip

    key: str
    section: str
    annotation: str
    optional: bool
    kind: kinds.Kind

    def __init__(
        self,
        default: Any,
        doc: str,
        *,
        kind: Callable[[Any], Any] | None,
        unit: str,
        choices: tuple[Any, ...],
        minimum: float | None,
        maximum: float | None,
        old: tuple[str, ...],
        celery: Any,
        unused: str,
        secret: bool | None,
    ) -> None:
        self.default = default
        self.doc = doc
        self.unit = unit
        self.choices = choices
        self.minimum = minimum
        self.maximum = maximum
        self.old = old
        self.celery = celery
        self.unused = unused
        self.secret = secret
        if kind is not None:
            self.kind = kind

    def bind(self, key: str, section: str, annotation: str) -> None:
        """Take the name and type of the field that holds this option."""
        self.key = key
        self.section = section
        self.annotation = annotation
        self.unused = self.unused or coming(key)
        bare = annotation.removesuffix(" | None")
        self.optional = bare != annotation or bare == "Any"
        if not hasattr(self, "kind"):
            self.kind = kinds.seconds if self.unit == "seconds" and bare == "float" else kinds.OF_ANNOTATION[bare]

    @property
    def used(self) -> bool:
        """Whether setting it has an effect."""
        return not self.unused

    def fresh_default(self) -> Any:
        """The default, safe to change in place."""
        return copy.deepcopy(self.default) if isinstance(self.default, dict) else self.default

    def coerce(self, value: Any) -> Any:
        """`value` as the program reads it.

        Raises:
            ValueError: it cannot be used; the text says what was expected.
        """
        if value is None:
            if self.optional:
                return None
            raise ValueError("expected a value, not None")
        try:
            made = self.kind(value)
        except ValueError as exc:
            raise ValueError(f"expected {exc}") from None
        if self.choices and made not in self.choices:
            raise ValueError(f"expected one of {', '.join(map(repr, self.choices))}")
        amount = made.total_seconds() if isinstance(made, timedelta) else made
        if isinstance(amount, int | float) and not isinstance(amount, bool):
            if self.minimum is not None and amount < self.minimum:
                raise ValueError(f"expected at least {self.minimum:g}")
            if self.maximum is not None and amount > self.maximum:
                raise ValueError(f"expected at most {self.maximum:g}")
        return made

    def __repr__(self) -> str:
        return f"<Option {self.key}: {self.annotation} = {self.default!r}>"


SAME = object()
"""Stands for: Celery's default is ours."""


def option(
    default: Any,
    doc: str,
    *,
    kind: Callable[[Any], Any] | None = None,
    unit: str = "",
    choices: tuple[Any, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    old: str | tuple[str, ...] = (),
    celery: Any = SAME,
    unused: str = "",
    secret: bool | None = None,
) -> Any:
    """A field of a `Section`; the arguments are those of `Option`."""
    return Option(
        default,
        doc,
        kind=kind,
        unit=unit,
        choices=choices,
        minimum=minimum,
        maximum=maximum,
        old=(old,) if isinstance(old, str) else old,
        celery=celery,
        unused=unused,
        secret=secret,
    )


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False, field_specifiers=(option,))
class Section:
    """Base of the groups of settings: each behaves as a frozen, keyword-only dataclass of its fields.

    The standard decorator writes and compiles code for each class, which for these would cost 7 ms of every start-up;
    type checkers see the same either way.
    """

    options: ClassVar[dict[str, Option]] = {}

    def __init_subclass__(cls) -> None:
        cls.options = {}
        for key, annotation in cls.__annotations__.items():
            found = cls.__dict__.get(key)
            if isinstance(found, Option):
                found.bind(key, cls.__name__, annotation)
                cls.options[key] = found
                delattr(cls, key)  # an instance without the value is an error, not an Option

    def __init__(self, **values: Any) -> None:
        for key, known in self.options.items():
            self.__dict__[key] = values.pop(key) if key in values else known.fresh_default()
        if values:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(map(repr, values))}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: set app.conf.{name} instead")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.__dict__.items())
