"""The package's source files, parsed once for all tests of this folder."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "skirret"


@dataclass(frozen=True)
class Source:
    """One file: its `path`, dotted `module` name, `text` and syntax `tree`."""

    path: Path
    module: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path as people say it."""
        return str(self.path.relative_to(ROOT))


@cache
def sources() -> tuple[Source, ...]:
    """All modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Source(path, module, text, ast.parse(text)))
    return tuple(found)
