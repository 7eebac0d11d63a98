"""One Redis or Valkey server as its broker, result backend and coordination share it."""

from __future__ import annotations
