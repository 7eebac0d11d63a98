"""Where Celery's users find the decorators of remote commands."""

from skirret.control.custom import control_command, inspect_command

__all__ = ["control_command", "inspect_command"]
