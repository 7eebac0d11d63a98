"""What a test does without the server that it needs: locally it skips loudly, in CI it fails."""

from __future__ import annotations

import os
import warnings
from typing import NoReturn

import pytest


class ServerLacking(UserWarning):
    """A server could not be found, so its tests did not run."""


def lacking(what: str, how: str) -> NoReturn:
    """Skip the test, or fail it where ``CI=true``.

    Args:
        what: the server.
        how: where it comes from.
    """
    told = f"{what} is not installed, so this was NOT tested: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(told)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(told, ServerLacking, stacklevel=2)
    pytest.skip(told)
