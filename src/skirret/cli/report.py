"""``skirret report``: what a bug report needs, without secrets."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from skirret.cli.differences import DIFFERENCES
from skirret.cli.output import show_json, show_pairs, show_table
from skirret.cli.parameters import json_option, option
from skirret.cli.session import Session, pass_session
from skirret.errors import SkirretError

if TYPE_CHECKING:
    from skirret.app import Skirret

# Distributions that Skirret uses where they are installed.
LIBRARIES: Final = (
    "click", "rich", "msgspec", "redis", "hiredis", "pika", "psycopg", "PyMySQL", "boto3",
    "confluent-kafka", "pymongo", "pymemcache", "gevent", "eventlet", "uvloop", "msgpack", "PyYAML", "pydantic",
    "cryptography", "zstandard", "brotli", "setproctitle", "psutil", "starlette", "uvicorn", "celery", "kombu",
)  # fmt: skip


@click.command(short_help="Print what a bug report needs: versions, platform, addresses, settings without secrets.")
@option("--differences/--no-differences", default=True, help="Print how Skirret differs from Celery.")
@json_option
@pass_session
def command(session: Session, differences: bool, as_json: bool) -> None:
    """Print what a bug report needs: versions, platform, addresses in use, settings that were set.

    Passwords and keys are masked. Works while the servers are down.
    """
    app = session.app()
    facts = collect(app, session.app_path or "(no -A: an app without tasks)")
    if as_json:
        show_json({**facts, "differences": [row._asdict() for row in DIFFERENCES]} if differences else facts)
        return
    for title, pairs in facts.items():
        show_pairs(session, pairs or {"(none)": ""}, title=title.replace("_", " "))
    if differences:
        click.echo()
        show_table(session, ("what", "Celery", "Skirret"), DIFFERENCES, title="Differences from Celery, on purpose")


def text(app: Skirret) -> str:
    """The report of `app` as plain text, without the differences: ``app.bugreport()``."""
    lines = []
    for title, pairs in collect(app).items():
        lines += [title.replace("_", " "), *(f"  {key}: {value}" for key, value in pairs.items())]
    return "\n".join(lines) + "\n"


def collect(app: Skirret, path: str | None = None) -> dict[str, dict[str, Any]]:
    """The report's sections: versions, platform, app, broker, results, settings.

    Args:
        app: which app.
        path: what ``-A`` said.
    """
    settings = app.conf.table(with_defaults=False, censored=True)
    return {
        "versions": _versions(),
        "platform": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "python": f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}",
        },
        "app": {
            "name": app.main,
            "path": path or str(app.origin),
            "directory": str(Path.cwd()),
        },
        "broker": _server(app, "broker"),
        "results": _server(app, "backend"),
        "settings": dict(sorted(settings.items())),
        "settings_without_effect": {row.key: row.unused for row in app.conf.unused()},
    }


def _versions() -> dict[str, str]:
    import sqlite3
    from importlib.metadata import PackageNotFoundError, version

    import skirret

    found = {"skirret": skirret.__version__, "sqlite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def _server(app: Skirret, kind: str) -> dict[str, Any]:
    """Which broker or result store is in use, and whether it answers."""
    from skirret.url import mask, parse

    configured = app.conf.broker_url if kind == "broker" else app.conf.result_backend
    facts: dict[str, Any] = {}
    try:
        facts["url"] = mask(app.broker_url_in_use() if kind == "broker" else app.backend_url_in_use())
        facts["chosen by"] = "the settings" if configured else "default"
        url = parse(facts["url"])
        if url.scheme == "sqlite":
            from skirret.stores.sqlite.location import path_of

            facts["file"] = str(path_of(url))
        if kind == "broker":
            facts["queues"] = len(app.broker.names())
        else:
            facts["enabled"] = app.backend.enabled
            if app.backend.enabled:
                app.backend.fetch(["skirret-report"])
        facts["reachable"] = True
    except SkirretError as exc:
        facts["reachable"] = False
        facts["error"] = str(exc)
    return facts
