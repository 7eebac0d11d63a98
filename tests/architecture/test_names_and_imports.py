"""What rooms are called, what they may import, and that each says what it is for."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

import skirret
from tests.architecture.sources import ROOT, Source, sources

BANNED_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common", "maybe"}
# Celery's public name, which user code imports.
KEPT_NAMES = {"maybe_signature"}
PEERS = {"celery", "kombu", "billiard", "vine", "amqp"}
DRIVERS = {
    "boto3", "brotli", "confluent_kafka", "cryptography", "eventlet", "gevent", "msgpack", "opentelemetry", "pika",
    "prometheus_client", "psutil", "psycopg", "pydantic", "pymemcache", "pymongo", "pymysql", "redis", "setproctitle",
    "starlette", "textual", "uvicorn", "uvloop", "watchfiles", "yaml", "zstandard",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of each import in `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def imported_on_loading(node: ast.AST) -> Iterator[tuple[int, str]]:
    """As `imported`, for what runs when the module is loaded: no function bodies, nothing for type checkers only."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from imported(node)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.orelse:
            yield from imported_on_loading(child)
    elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.expr):
        for child in ast.iter_child_nodes(node):
            yield from imported_on_loading(child)


def public_definitions(source: Source) -> Iterator[tuple[ast.AST, str, bool]]:
    """(node, dotted name, whether it lies in a class with bases) of public classes and functions of a module.

    The name of a test (of the public exam) is its promise in prose, and needs no docstring.
    """
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node, node.name, False
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    named = isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
                    if named and not member.name.startswith(("_", "test_")):
                        yield member, f"{node.name}.{member.name}", bool(node.bases)


def is_overload_or_setter(node: ast.AST) -> bool:
    """Whether another definition of the same name carries the docstring."""
    decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])]
    return any(text.endswith(("overload", ".setter", ".deleter")) for text in decorators)


def test_every_module_opens_with_one_sentence_that_says_what_it_is_for():
    for source in sources():
        text = ast.get_docstring(source.tree)
        assert text, f"{source.name} has no docstring"
        assert re.match(r"[^\n]+[.:]$", text.splitlines()[0]), f"{source.name}: the first line is no sentence"


def test_every_public_name_has_a_docstring_of_its_own_or_an_inherited_one():
    silent = [
        f"{source.name}:{node.lineno} {name}"
        for source in sources()
        for node, name, inherits in public_definitions(source)
        if not inherits and not is_overload_or_setter(node) and not ast.get_docstring(node)
    ]
    assert not silent


def test_no_room_is_called_utils_helpers_or_manager():
    for source in sources():
        words = set(re.split(r"[._]", source.module))
        assert not words & BANNED_WORDS, source.name
        for _, name, _ in public_definitions(source):
            said = set(re.split(r"_|(?<=[a-z])(?=[A-Z])", name.rpartition(".")[2]))
            assert name in KEPT_NAMES or not {word.lower() for word in said} & BANNED_WORDS, f"{source.name}: {name}"


def test_celery_and_its_libraries_are_never_imported():
    found = [
        f"{source.name}:{line} {module}"
        for source in sources()
        for line, module in imported(source.tree)
        if module.partition(".")[0] in PEERS
    ]
    assert not found


def test_optional_libraries_are_imported_only_where_they_are_used():
    """A file that the plugin loader finds by name (a broker, a serializer) may need its driver; nothing else may."""
    behind_the_loader = (
        "skirret.brokers.",
        "skirret.backends.",
        "skirret.coordination.",
        "skirret.stores.",
        "skirret.integrations.",
    )
    behind_a_table = {"skirret.serializers.yaml", "skirret.cli.top.screen", "skirret.cli.top.dialogs"} | {
        f"skirret.worker.child.slots.{name}" for name in ("gevent_hub", "eventlet_hub", "greenlets", "loops")
    }
    found = [
        f"{source.name}:{line} {module}"
        for source in sources()
        if not source.module.startswith(behind_the_loader) and source.module not in behind_a_table
        for line, module in imported_on_loading(source.tree)
        if module.partition(".")[0] in DRIVERS
    ]
    assert not found


def test_no_room_imports_the_public_face_that_imports_it():
    modules = {source.module for source in sources()}
    found = [
        f"{source.name}:{node.lineno} {alias.name}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "skirret"
        for alias in node.names
        if f"skirret.{alias.name}" not in modules
    ]
    assert not found


def test_imports_are_absolute():
    for source in sources():
        for node in ast.walk(source.tree):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{source.name}:{node.lineno}"


def test_the_version_is_told_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert skirret.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted(p for d in ("scripts", ".ci") for p in (ROOT / d).iterdir()), ids=lambda p: p.name
)
def test_every_script_stops_at_the_first_error_and_says_what_it_does(path):
    first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == "#!/usr/bin/env bash"
    assert second.startswith("# ")
    assert "set -euo pipefail" in rest
    assert path.stat().st_mode & 0o111, "not executable"


def test_the_lock_files_name_no_host_and_pin_every_hash():
    for path in (ROOT / "requirements").glob("*.lock"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, path.name
        pins = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
        assert pins, path.name
        assert all(line.endswith("\\") for line in pins), path.name


def test_skirrets_loggers_are_those_that_no_handler_can_break():
    """A logger of Python's own lets through what a handler of the app raises."""
    for source in sources():
        assert not re.search(r"getLogger\(.?.skirret", source.text), source.name
