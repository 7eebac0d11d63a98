"""Names of nodes such as ``w1@web1.example.com``, and the abbreviations that stand for their parts.

In a node's name ``%h`` is this machine's host name, ``%n`` its first part and ``%d`` the rest. In the path of a log or
pid file the letters speak of the node instead: see `node_path`. Both are Celery's.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "skirret"
"""The part before the ``@`` where none is given."""


def split(node: str) -> tuple[str, str]:
    """The name and the host of a node; a text without ``@`` is a host, as Celery reads it."""
    name, at, host = node.rpartition("@")
    return (name, host) if at else ("", node)


def node_name(text: str | None = None) -> str:
    """A whole node name.

    Args:
        text: such as ``w1@%h``, ``w1@``, or ``web1`` (which is ``skirret@web1``); None is ``skirret@%h``.
    """
    here = socket.gethostname()
    name, host = split(text or "")
    first, _, domain = here.partition(".")
    return filled(f"{name or DEFAULT}@{host or here}", {"h": here, "n": first, "d": domain, "%": "%"})


def node_path(text: str, node: str, process: int = 0) -> str:
    """`text` with the abbreviations for a node's files filled in.

    Args:
        text: such as ``/var/log/%n%I.log``. ``%p`` is the whole node name, ``%n`` its part before the ``@``, ``%h`` its
            host, ``%d`` the host's domain, ``%%`` a percent sign; ``%i`` is the number of the child process (0 is the
            worker itself), ``%I`` the same with a dash before it (nothing for the worker itself).
        node: such as ``w1@web1.example.com``.
        process: the child's number, from 1; 0 is the worker itself.
    """
    name, host = split(node)
    index = f"-{process}" if process else ""
    domain = host.partition(".")[2]
    return filled(text, {"n": name, "h": host, "d": domain, "p": node, "%": "%", "i": str(process), "I": index})


def filled(text: str, parts: Mapping[str, str]) -> str:
    """`text` with each ``%x`` replaced by ``parts["x"]``; letters that are not in `parts` stay."""
    return re.sub(r"%(.)", lambda match: parts.get(match.group(1), match.group()), text)
