"""Which files hold the app's own code: what ``--reload`` watches."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def source_files() -> list[str]:
    """The source files of all modules that this process has imported, but those of Python, of libraries and ours."""
    foreign = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    foreign |= {str(Path(__file__).parents[2]), *(path for path in sys.path if path.endswith("-packages"))}
    found = {str(Path(file).resolve()) for module in list(sys.modules.values()) if (file := _source(module))}
    return sorted(path for path in found if not any(Path(path).is_relative_to(place) for place in foreign))


def _source(module: object) -> str:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) and file.endswith(".py") else ""
