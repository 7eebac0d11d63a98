"""A virtual environment for each library that is measured, made on demand under ``.bench/`` from locked versions."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".bench"
LOCKS = ROOT / "benchmarks" / "requirements"


def python_of(name: str) -> Path:
    """The interpreter of the environment called `name`, whether it is there or not."""
    return HOME / name / "bin" / "python"


def wanted(name: str) -> str:
    """What tells whether an environment was made from today's lock."""
    lock = (LOCKS / f"{name}.txt").read_bytes()
    return f"{zlib.crc32(lock):08x} {sys.version_info.major}.{sys.version_info.minor}\n"


def is_made(name: str) -> bool:
    """Whether the environment is there and was made from today's lock."""
    stamp = HOME / name / "lock"
    return stamp.exists() and stamp.read_text(encoding="ascii") == wanted(name) and python_of(name).exists()


def installed(name: str, module: str) -> Path | None:
    """An interpreter that has the library already: its own environment's, else this one's, else None."""
    if is_made(name):
        return python_of(name)
    return Path(sys.executable) if importlib.util.find_spec(module) else None


def make(name: str) -> Path:
    """The interpreter of the environment called `name`, which is made or brought up to date first where it must be.

    Raises:
        subprocess.CalledProcessError: its packages could not be installed; what the installer said is on stderr.
    """
    if is_made(name):
        return python_of(name)
    print(f"... making .bench/{name}", file=sys.stderr, flush=True)
    place = HOME / name
    shutil.rmtree(place, ignore_errors=True)
    python = python_of(name)
    packages = ["--require-hashes", "-r", str(LOCKS / f"{name}.txt")]
    if uv := shutil.which("uv"):
        run([uv, "venv", "--quiet", "--python", sys.executable, str(place)])
        run([uv, "pip", "install", "--quiet", "--python", str(python), *packages])
    else:
        run([sys.executable, "-m", "venv", str(place)])
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
    (place / "lock").write_text(wanted(name), encoding="ascii")
    return python


def run(command: list[str]) -> None:
    """Run a command of the installer; its words go to stderr."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
