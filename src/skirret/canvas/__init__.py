"""Calls of tasks as values: to be completed, linked to each other, passed on and sent later."""

from skirret.canvas.making import maybe_signature, signature, subtask
from skirret.canvas.signature import Signature
from skirret.canvas.steps import pop_next

__all__ = ["Signature", "maybe_signature", "pop_next", "signature", "subtask"]
