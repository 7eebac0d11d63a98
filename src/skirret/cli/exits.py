"""How a command ends: exit codes by kind of failure, and an error told as one block.

    0    done
    1    the task itself failed (`call --wait`, `result`), or you said no
    2    usage: an option or argument is wrong
    65   data: a message, a body or a name that cannot be used
    69   a broker or a result store cannot be reached or cannot do that
    70   a bug, ours or in code that we called
    75   nobody answered in time: no worker, or no result yet
    78   configuration: a setting, a URL or the app cannot be used
    79   a worker that is to begin anew, and then does so in the same process
    130  interrupted by Ctrl-C

The numbers from 65 on are those of ``sysexits.h``.
"""

from __future__ import annotations

import sys
import traceback
from typing import Final

from skirret import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
DATA: Final = 65
UNAVAILABLE: Final = 69
BUG: Final = 70
NO_REPLY: Final = 75
CONFIG: Final = 78
RESTART: Final = 79
INTERRUPTED: Final = 130

# The first row that fits decides: exit code, kind in words, next step.
_KINDS: Final[tuple[tuple[type[BaseException], int, str, str], ...]] = (
    (errors.MissingDependency, CONFIG, "configuration", "Install what the message names, then repeat the command."),
    (
        errors.ImproperlyConfigured,
        CONFIG,
        "configuration",
        "Correct that setting or option; `skirret config show --origin` tells where each value comes from.",
    ),
    (
        errors.OperationalError,
        UNAVAILABLE,
        "broker",
        "See that the server runs and that the address is right (`skirret report` prints it), then repeat the command.",
    ),
    (
        errors.BackendError,
        UNAVAILABLE,
        "result store",
        "See that the store runs and that `result_backend` is right (`skirret report` prints it).",
    ),
    (errors.CapabilityError, UNAVAILABLE, "capability", "Use a broker or a pool that can; the message names what."),
    (
        errors.TimeoutError,
        NO_REPLY,
        "no reply",
        "See that a worker runs on that queue; `skirret queues` shows what waits.",
    ),
    (errors.SecurityError, DATA, "refused content", "Add its type to `accept_content` if you trust who sends it."),
    (errors.SerializationError, DATA, "data", "Give values that the serializer knows, or choose another one."),
    (errors.TaskError, DATA, "task", "Check the task's name and arguments."),
    (errors.SkirretError, BUG, "unexpected", "Please report this with the output of `skirret report`."),
)


def describe(exc: BaseException) -> tuple[int, str]:
    """The exit code for an error of ours, and what to print: what happened, why, what to do."""
    code, kind, advice = next((c, k, a) for t, c, k, a in _KINDS if isinstance(exc, t))
    message = exc.args[0] if isinstance(exc, KeyError) and exc.args else exc
    lines = [f"Error ({kind}): {message}"]
    cause = _innermost(exc)
    if cause is not None:
        if str(cause) not in str(message):
            lines.append(f"Cause: {type(cause).__name__}: {cause}")
        where = _user_frame(cause)
        if where:
            lines.append(f"Where: {where}")
            advice = "Correct what is wrong there, then repeat the command."
    lines.append(f"What to do: {advice}")
    return code, "\n".join(lines)


def describe_bug(exc: BaseException) -> str:
    """What to print for an error that nobody foresaw: its traceback, and where to take it."""
    trace = "".join(traceback.format_exception(exc)).rstrip()
    return (
        f"{trace}\n\nError (bug): {type(exc).__name__}: {exc}\n"
        "What to do: please report this with the traceback above and the output of `skirret report`."
    )


def _innermost(exc: BaseException) -> BaseException | None:
    cause = exc.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


def _user_frame(exc: BaseException) -> str:
    """The line of the user's code that an import ended at, as ``file:line``."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}:{exc.lineno}"
    package = __file__.rpartition("/cli/")[0]
    places = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith((package, "<frozen", sys.base_prefix))
    ]
    return places[-1] if places else ""
