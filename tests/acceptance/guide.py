"""Reads the snippets out of the user's guide; only the import line and the program's name are changed in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GUIDE = Path(__file__).with_name("guide.md")
# The guide's source, laid beside the checkout where the project itself is built.
ORIGINAL = Path(__file__).parents[3] / "shared" / "spec" / "guide.md"


@dataclass(frozen=True)
class Block:
    """One fenced block: the heading it stands under, its number there (from 1), its language and text."""

    heading: str
    number: int
    language: str
    text: str

    @property
    def key(self) -> str:
        """How the tables of this folder name it."""
        return f"{self.heading} / {self.number}"

    @property
    def ours(self) -> str:
        """The text with only the import line (Python) or the program's name (shell) changed."""
        if self.language == "python":
            return re.sub(r"^from celery(?=[ .])", "from skirret", self.text, flags=re.MULTILINE)
        return re.sub(r"^celery(?= )|(?<=install )celery", "skirret", self.text, flags=re.MULTILINE)

    @property
    def commands(self) -> list[str]:
        """The command lines of a shell block, without their comments."""
        lines = (line.partition(" #")[0].strip() for line in self.ours.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def read(text: str) -> list[Block]:
    """All fenced blocks that name a language, in order."""
    blocks: list[Block] = []
    heading, language, lines = "", None, []
    counts: dict[str, int] = {}
    for line in text.splitlines():
        if language is None and line.startswith("#"):
            heading = line.lstrip("#").strip()
        elif language is None and line.startswith("```"):
            language, lines = line[3:].strip(), []
        elif language is not None and line.startswith("```"):
            if language:
                counts[heading] = counts.get(heading, 0) + 1
                blocks.append(Block(heading, counts[heading], language, "\n".join(lines) + "\n"))
            language = None
        elif language is not None:
            lines.append(line)
    return blocks


@cache
def blocks() -> dict[str, Block]:
    """The guide's blocks by key."""
    return {block.key: block for block in read(GUIDE.read_text(encoding="utf-8"))}
