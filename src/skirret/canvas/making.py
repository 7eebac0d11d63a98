"""Makes signatures from whatever describes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skirret.canvas.protocol import CanvasApp
from skirret.canvas.signature import Signature


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
    """A signature.

    Args:
        varies: a task or its name; a signature, which is cloned; or a mapping that describes one.
        args: as ``Signature``, where `varies` is a task or a name.
        kwargs: the same; `app` binds the signature in every case.
    """
    if isinstance(varies, Signature):
        twin = varies.clone()
        return twin if kwargs.get("app") is None else twin.bind(kwargs["app"])
    if isinstance(varies, Mapping):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


subtask = signature


def maybe_signature(d: Any, app: CanvasApp | None = None, clone: bool = False) -> Any:
    """`d` as a signature.

    Args:
        d: a signature, a mapping that describes one, or None.
        app: bind the signature to it.
        clone: copy `d` if it is a signature already.

    Returns:
        The signature; None for None. Anything else comes back as it is.
    """
    if isinstance(d, Signature):
        found = d.clone() if clone else d
    elif isinstance(d, Mapping):
        found = Signature.from_dict(d)
    else:
        return d
    return found if app is None else found.bind(app)
