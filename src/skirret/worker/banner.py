"""What a worker prints when it starts: who it is, what it reads from, what it runs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version

from skirret.settings import Conf
from skirret.url import mask
from skirret.worker.manifest import Manifest


def banner(manifest: Manifest, hostname: str, *, pool: str, children: int, slots: int, queues: Sequence[str]) -> str:
    """The banner's text; passwords are masked."""
    concurrency = f"{children * slots} ({pool}" + (f", {children} process(es))" if slots > 1 else ")")
    rows = [
        ("app", manifest.app or "(unnamed)"),
        ("broker", mask(manifest.broker_url)),
        ("results", mask(manifest.backend_url)),
        ("concurrency", concurrency),
        ("queues", ", ".join(queues)),
        ("priority order", str(manifest.settings.get("priority_order", "guide"))),
    ]
    lines = [f"{hostname}  skirret {version('skirret')}, Python {platform.python_version()}", ""]
    lines += [f"  {name:<15}{text}" for name, text in rows]
    names = sorted(name for name in manifest.tasks if not name.startswith("celery."))
    lines += ["", f"  tasks ({len(names)})"]
    lines += [f"    . {name}" for name in names]
    if manifest.threads:
        lines += [
            "",
            f"  Importing the app left threads running: {', '.join(manifest.threads)}.",
            "  Forking beside them is unsafe, so children are started afresh (slower, and they share no memory).",
            "  Start threads and open connections when the first task needs them instead.",
        ]
    return "\n".join(lines) + "\n"


def without_effect(conf: Conf) -> str:
    """One sentence on the settings that somebody set and that do nothing; empty if there are none."""
    names = sorted(row.key for row in conf.unused())
    return f"Set, but without effect: {', '.join(names)}; `skirret config show` tells why." if names else ""
