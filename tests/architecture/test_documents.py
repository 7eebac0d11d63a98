"""The documents are true where a machine can tell: pages made from code are current, links lead somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import chain

import pytest

from skirret.backends.base import ResultBackend
from skirret.brokers.base import Broker, Consumer
from skirret.coordination.base import Coordination
from tests.architecture.sources import ROOT
from tools.pages import DOCS, PAGES

DOCUMENTS = sorted(chain(DOCS.rglob("*.md"), ROOT.glob("*.md")))


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_says_what_the_code_says(name):
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run .venv/bin/python -m tools.pages"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_to_a_file(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_block_of_a_document_is_python(path):
    for text in re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE):
        compile(text, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("seam", [Broker, Consumer, ResultBackend, Coordination], ids=lambda seam: seam.__name__)
def test_every_operation_of_a_seam_stands_in_the_tables_of_how_servers_do_it(seam):
    rows = [line for line in (DOCS / "internals.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    # What a seam declares or is told, and closing what has no server side, are no operations.
    beside = {"capabilities", "enabled", "cid"} | ({"close"} if seam is not Consumer else set())
    assert {name for name in dir(seam) if not name.startswith("_")} - beside <= told


def test_every_page_stands_in_the_navigation():
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))

    def pages(value):
        if isinstance(value, str):
            return [value]
        items = value.values() if isinstance(value, dict) else value
        return [page for item in items for page in pages(item)]

    assert sorted(pages(config["project"]["nav"])) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_readme_opens_with_three_sentences_and_two_commands():
    _, said, block, *_ = (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")
    assert len(re.findall(r"\.(?=\s|$)", said)) == 3
    assert re.findall(r"^(scripts/\w+)", block, flags=re.MULTILINE) == ["scripts/demo", "scripts/test"]
