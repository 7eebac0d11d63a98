"""What a task of the demo finds out about one file. Pure but for the reading."""

from __future__ import annotations

import hashlib
import keyword
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, Final

CHUNK: Final = 1024 * 1024
KEEP_IDENTIFIERS: Final = 25
# A line longer than this is cut where a chunk ends; what stands at the cut may be counted as two words or names.
LONGEST_LINE: Final = 64 * 1024
_NAME: Final = rb"([A-Za-z_][A-Za-z0-9_]+)"
_IDENTIFIER: Final = re.compile(_NAME)
# In Python files comments and strings are matched first, and leave the group of the name empty.
_PYTHON_IDENTIFIER: Final = re.compile(
    rb"#[^\n]*"
    rb'|[rRbBuUfF]{0,2}(?:"""[\s\S]*?(?:"""|\Z)|\'\'\'[\s\S]*?(?:\'\'\'|\Z)'
    rb'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'
    rb"|" + _NAME
)
_KEYWORDS: Final = frozenset(word.encode() for word in keyword.kwlist)


def measure(path: str) -> dict[str, Any]:
    """Measure one file.

    Args:
        path: of a regular file; read in chunks, so that its size does not matter.

    Returns:
        Keys path, size and compressed (bytes), lines, words, sha256 (hex), ratio (size / compressed, zlib level 6) and
        identifiers (the most frequent names that are no Python keywords, as [name, count]; in Python files without
        comments and strings; none for binary files).

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    packer = zlib.compressobj(6)
    names: Counter[bytes] = Counter()
    size = compressed = lines = words = 0
    tail = b""
    binary = False
    identifier = _PYTHON_IDENTIFIER if path.endswith((".py", ".pyi")) else _IDENTIFIER
    with Path(path).open("rb") as file:
        while chunk := file.read(CHUNK):
            binary = binary or (size == 0 and b"\0" in chunk[:8192])
            size += len(chunk)
            digest.update(chunk)
            compressed += len(packer.compress(chunk))
            lines += chunk.count(b"\n")
            text = tail + chunk
            end = text.rfind(b"\n") + 1
            if len(text) - end > LONGEST_LINE:
                end = len(text)
            tail = text[end:]
            words += len(text[:end].split())
            if not binary:
                names.update(identifier.findall(text[:end]))
    words += len(tail.split())
    if not binary:
        names.update(identifier.findall(tail))
    compressed += len(packer.flush())
    return {
        "path": path,
        "size": size,
        "lines": lines,
        "words": words,
        "sha256": digest.hexdigest(),
        "compressed": compressed,
        "ratio": round(size / compressed, 3),
        "identifiers": [[name.decode(), count] for name, count in _most_frequent(names)],
    }


def _most_frequent(names: Counter[bytes]) -> list[tuple[bytes, int]]:
    # Sorted by name within a count, so that two measurements of one file are equal.
    known = [(name, count) for name, count in names.items() if name and name not in _KEYWORDS]
    return sorted(known, key=lambda item: (-item[1], item[0]))[:KEEP_IDENTIFIERS]
