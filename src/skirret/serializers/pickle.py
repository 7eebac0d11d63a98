"""Pickle, for those who accept it: whoever can write to the broker can then run code in every worker."""

from __future__ import annotations

import io
import pickle
from typing import Any

from skirret.errors import DecodeError, EncodeError
from skirret.serializers.limits import DEFAULT, Limits
from skirret.serializers.serializer import Serializer

CONTENT_TYPE = "application/x-python-serialize"
CONTENT_ENCODING = "binary"
PROTOCOL = 4

REDIRECTED: dict[tuple[str, str], type[Any]] = {}
"""(module, name) -> the class to load in its place; filled by ``wire.exceptions`` with Celery's error names."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        found = REDIRECTED.get((module_name, global_name))
        return super().find_class(module_name, global_name) if found is None else found


def dumps(value: Any, limits: Limits = DEFAULT) -> bytes:  # noqa: ARG001  as every serializer
    """`value` as a pickle of protocol 4.

    Raises:
        EncodeError: it cannot be pickled.
    """
    try:
        return pickle.dumps(value, protocol=PROTOCOL)
    except Exception as exc:
        raise EncodeError(f"cannot pickle this value: {exc}") from exc


def loads(body: bytes, limits: Limits = DEFAULT) -> Any:  # noqa: ARG001  as every serializer
    """The value that `body` tells. It may run any code: callers let it here only when ``accept_content`` says so.

    Raises:
        DecodeError: it is no pickle, or a class of it is not there.
    """
    try:
        return _Unpickler(io.BytesIO(body)).load()
    except Exception as exc:
        raise DecodeError(f"cannot unpickle: {type(exc).__name__}: {str(exc)[:200]}") from exc


SERIALIZER = Serializer("pickle", dumps, loads, CONTENT_TYPE, CONTENT_ENCODING)
