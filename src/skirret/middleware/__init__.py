"""Middleware: what is told of every publish, every run and every step of a worker's life, in one ordered stack."""

from __future__ import annotations

from skirret.middleware.middleware import Middleware
from skirret.middleware.stack import HOOKS, Stack

__all__ = ["HOOKS", "Middleware", "Stack"]
