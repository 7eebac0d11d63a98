"""Asking the workers of this machine how they are; kept free of all that takes time to import.

health [-n NODE] [--ready] [--json] [--timeout SECONDS]
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

from skirret import rundir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEALTHY, NOT = 0, 1


def quick(arguments: list[str]) -> int | None:
    """Carry out a plain ``skirret health ...`` at once; None where the command line must read the arguments itself."""
    node, ready, as_json, timeout = None, False, False, 2.0
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--ready":
            ready = True
        elif word == "--json":
            as_json = True
        elif word in {"-n", "--hostname"} and words:
            node = words.pop(0)
        elif word == "--timeout" and words and words[0].replace(".", "", 1).isdigit():
            timeout = float(words.pop(0))
        else:
            return None
    return report(node, ready=ready, as_json=as_json, timeout=timeout)


def report(node: str | None, *, ready: bool, as_json: bool, timeout: float) -> int:
    """Ask, print a line for each worker (or one JSON list), and give the exit code.

    Args:
        node: ask this one only; None is all of them, of which there must be one at least.
        ready: must it also be ready for tasks, not only alive?
        as_json: print JSON.
        timeout: seconds that a worker gets to answer.
    """
    found = ask(node, timeout)
    word = "ready" if ready else "live"
    code = HEALTHY if found and all(state[word] for state in found) else NOT
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return code
    for state in found:
        verdict = "healthy" if state[word] else "NOT healthy"
        why = f": {'; '.join(state['why'])}" if state["why"] else f", {state['busy']} of {state['slots']} slots busy"
        sys.stdout.write(f"{state['node']} (process {state['pid']}) is {verdict}{why}\n")
    if not found:
        directory = rundir.directory()
        whom = f"no worker named {_whole(node)} answers" if node else "no worker answers"
        fault = rundir.fault(directory)
        sys.stderr.write(f"NOT healthy: {whom} in {directory}{f' ({fault})' if fault else ''}\n")
    return code


def ask(node: str | None, timeout: float) -> list[dict[str, Any]]:
    """The states of this user's workers on this machine.

    A socket whose worker is gone is removed and not counted. A worker that accepts and does not answer is not alive.
    """
    directory = rundir.directory()
    if rundir.fault(directory):
        return []
    wanted = _whole(node) if node else None
    until = time.monotonic() + timeout
    states = [_ask_one(path, until) for path in rundir.sockets(directory)]
    return [state for state in states if state and wanted in {None, state["node"]}]


def _whole(node: str) -> str:
    from skirret.nodes import node_name

    return node_name(node)


def _ask_one(path: str, until: float) -> dict[str, Any]:
    pid, _, name = path.rpartition("/")[2].removesuffix(".sock").partition("-")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(max(0.05, until - time.monotonic()))
            line.connect(path)
            data = b""
            while more := line.recv(65536):
                data += more
        found: dict[str, Any] = json.loads(data)
    except (ConnectionRefusedError, FileNotFoundError):
        try:
            os.unlink(path)  # noqa: PTH108  pathlib takes as long to import as all of this
        except OSError:
            pass
        return {}
    except (OSError, ValueError):
        why = ["it does not answer"]
        return {"node": name, "pid": int(pid), "live": False, "ready": False, "why": why, "busy": 0, "slots": 0}
    return found
