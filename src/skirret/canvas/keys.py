"""The keys of a signature's dict as attributes."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Key(Generic[T]):
    """An attribute that is an item of the dict it belongs to, under the same name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, signature: None, owner: type) -> Key[T]: ...
    @overload
    def __get__(self, signature: MutableMapping[str, Any], owner: type) -> T: ...
    def __get__(self, signature: MutableMapping[str, Any] | None, owner: type) -> Key[T] | T:
        if signature is None:
            return self
        value: T = signature[self._name]
        return value

    def __set__(self, signature: MutableMapping[str, Any], value: T) -> None:
        signature[self._name] = value


class Option(Generic[T]):
    """An attribute that is one of the signature's options; None where it is not said.

    Args:
        name: the option.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, signature: None, owner: type) -> Option[T]: ...
    @overload
    def __get__(self, signature: MutableMapping[str, Any], owner: type) -> T | None: ...
    def __get__(self, signature: MutableMapping[str, Any] | None, owner: type) -> Option[T] | T | None:
        if signature is None:
            return self
        value: T | None = signature["options"].get(self._name)
        return value

    def __set__(self, signature: MutableMapping[str, Any], value: T | None) -> None:
        signature["options"][self._name] = value
