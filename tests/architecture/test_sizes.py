"""A room stays small enough to be read at one sitting."""

from __future__ import annotations

import ast

from tests.architecture.sources import sources

FILE_LINES = 400
FUNCTION_LINES = 60


def test_every_file_stays_under_400_lines():
    long = {source.name: len(source.text.splitlines()) for source in sources()}
    assert not {name: lines for name, lines in long.items() if lines >= FILE_LINES}


def test_every_function_stays_under_60_lines():
    long = {}
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    long[f"{source.name}:{node.lineno} {node.name}"] = lines
    assert not long
