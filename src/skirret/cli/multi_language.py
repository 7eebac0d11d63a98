"""What ``skirret multi`` is told, as plain values: names, ranges, and options for all nodes or for some. Pure.

The language is that of ``celery multi``. Words are node names, or one number that stands for so many; ``-c 3`` is an
option of every node's worker, ``-c:1-3 10``, ``-c:w1,w2 10`` and ``--concurrency:w1=10`` are options of some. What
stands behind ``--`` is passed on as it is.
"""

from __future__ import annotations

import re
import shlex
import signal
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from skirret.nodes import DEFAULT, filled, node_name, split

OWN: Final = ("--quiet", "--verbose", "--no-color", "--nosplash")
"""Flags of this command itself: they say how it speaks."""

NAMING: Final = ("--range-prefix", "--suffix", "--prefix", "-n", "--hostname")
"""Options that say what the nodes are called."""

GLOBAL: Final = frozenset(
    ["-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir", "--skip-checks"]
).union(["-C", "-q"])
"""Options that stand before ``worker``."""

PID_FILE: Final = "/var/run/skirret/%n.pid"
LOG_FILE: Final = "/var/log/skirret/%n%I.log"


class Wrong(ValueError):
    """The arguments mean nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Args:
        name: such as ``w1@web1``.
        command: its command line.
        pidfile: where its process id is.
        logfile: where it logs, with ``%I`` for its children.
    """

    name: str
    command: tuple[str, ...]
    pidfile: str
    logfile: str


@dataclass(slots=True)
class Words:
    """The arguments, taken apart.

    Args:
        names: node names, or one number.
        options: of all nodes, in order; a flag's value is None.
        some: the same by the names, numbers and ranges that they are for.
        rest: what stands behind ``--``.
        signal: the one that ``-KILL`` or ``-9`` names.
    """

    names: list[str] = field(default_factory=list)
    options: dict[str, str | None] = field(default_factory=dict)
    some: dict[str, dict[str, str | None]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    signal: signal.Signals | None = None


def read(arguments: Sequence[str], *, flags: Collection[str], valued: Collection[str]) -> Words:
    """Take arguments apart.

    Args:
        arguments: what follows the verb.
        flags: options known to take no value.
        valued: options known to take one; others take the next word, if they are short and it is no option.
    """
    found = Words()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            found.rest = words
            break
        if not word.startswith("-") or word == "-":
            found.names.append(word)
        elif (number := _signal(word)) is not None:
            found.signal = number
        else:
            name, equals, value = word.partition("=")
            key, _, whom = name.partition(":")
            given: str | None = value if equals else None
            takes = key in valued or (not word.startswith("--") and key not in flags)
            attached = not key.startswith("--") and len(key) > 2  # as in -c3
            if words and takes and not equals and not attached and (key in valued or not words[0].startswith("-")):
                given = words.pop(0)
            target = found.some.setdefault(whom, {}) if whom else found.options
            target[key] = given
    return found


def _signal(word: str) -> signal.Signals | None:
    text = word[1:].removeprefix("SIG")
    if text.isdigit():
        return next((found for found in signal.Signals if found.value == int(text)), None)
    return signal.Signals.__members__.get(f"SIG{text}") if len(text) > 1 else None


def nodes(words: Words) -> list[Node]:
    """The nodes that the arguments speak of, in order.

    Raises:
        Wrong: an option is for a node that does not exist, or a range is none.
    """
    named = _names(words)
    own: dict[int, dict[str, str | None]] = {index: {} for index in range(len(named))}
    for whom, options in words.some.items():
        for index in _whom(whom, named):
            own[index].update(options)
    return [_node(name, {**words.options, **own[index]}, words.rest) for index, name in enumerate(named)]


def expand(template: str, node: str) -> str:
    """`template` with a node's name (``%n``), its host (``%d``) or both (``%h``, ``%p``), as ``multi`` reads them."""
    name, host = split(node)
    return filled(template, {"n": name, "N": name, "d": host, "h": node, "p": node, "%": "%"})


def _names(words: Words) -> list[str]:
    options = words.options
    host = options.get("--suffix") or options.get("--hostname") or options.get("-n") or socket.gethostname()
    names = words.names
    if len(names) == 1 and names[0].isdigit():
        prefix = options.get("--range-prefix") or DEFAULT
        names = [f"{prefix}{number}" for number in range(1, int(names[0]) + 1)]
    return [node_name(name if "@" in name else f"{name}@{host}") for name in names]


def _whom(text: str, names: Sequence[str]) -> list[int]:
    """The places of the nodes that ``1-3``, ``w1,w2`` or ``w1@host`` speaks of; a name that is not here is left out."""
    found: list[int] = []
    for part in text.split(","):
        limits = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if limits is None:
            found += [index for index, name in enumerate(names) if part in {name, split(name)[0]}]
            continue
        first, last = int(limits[1]), int(limits[2] or limits[1])
        if first < 1 or (limits[2] is None and first > len(names)) or last < first:
            raise Wrong(f"there is no node {part!r}: the nodes are numbered from 1 to {len(names)}")
        found += [number - 1 for number in range(first, min(last, len(names)) + 1)]
    return found


def _node(name: str, options: dict[str, str | None], rest: Sequence[str]) -> Node:
    program = shlex.split(options.pop("--cmd", None) or "") or [sys.executable, "-m", "skirret"]
    append = shlex.split(options.pop("--append", None) or "")
    options = {key: value for key, value in options.items() if key not in NAMING + OWN}
    for key, value in options.items():
        if value is not None and key in {"--pidfile", "-f", "--logfile"}:
            options[key] = expand(value, name)
    pidfile = options.get("--pidfile") or expand(PID_FILE, name)
    logfile = options.get("--logfile") or options.get("-f") or expand(LOG_FILE, name)
    options.update({"-n": name})
    options.setdefault("--pidfile", pidfile)
    if "-f" not in options:
        options.setdefault("--logfile", logfile)
    options.setdefault("--executable", sys.executable)
    before: list[str] = []
    after: list[str] = []
    for key, value in options.items():
        word = [key] if value is None else [f"{key}={value}"] if key.startswith("--") else [key, value]
        (before if key[:2] in GLOBAL or key in GLOBAL else after).extend(word)
    tail = ["--", *rest] if rest else []
    return Node(name, (*program, *before, "worker", "--detach", *after, *append, *tail), pidfile, logfile)
