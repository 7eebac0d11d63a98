"""What the global options say, and the app that they lead to, imported only when a command needs it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from skirret.app import Skirret


@dataclass(slots=True)
class Session:
    """One call of the command line.

    Args:
        app_path: ``-A``, or None.
        broker, result_backend, loader, config, workdir: the global options, or None.
        color: False forbids colour, None leaves it to the terminal.
        quiet: print data and errors only.
        command: the name of the command that is called.
        user_args: the part of its arguments that belongs to options which the app adds.
    """

    app_path: str | None = None
    broker: str | None = None
    result_backend: str | None = None
    loader: str | None = None
    config: str | None = None
    workdir: str | None = None
    color: bool | None = None
    quiet: bool = False
    command: str = ""
    user_args: list[str] = field(default_factory=list)
    _found: Any = field(default=None, repr=False)
    _app: Any = field(default=None, repr=False)

    def app(self) -> Skirret:
        """The app of ``-A``, or one without tasks that knows what the environment and the options say.

        Raises:
            ImproperlyConfigured: there is no such app, or it cannot be imported.
            click.UsageError: the command line does not fit the options that the app adds.
        """
        if self._app is None:
            from skirret.app.user_options import read_user_options

            found = self.imported()
            read_user_options(found, self.command, self.user_args)
            self._app = found
        app: Skirret = self._app
        return app

    def imported(self) -> Skirret:
        """The same app, which has not been told yet what the command line says to its own options."""
        if self._found is None:
            self._found = self._find()
        found: Skirret = self._found
        return found

    def _find(self) -> Skirret:
        if self.app_path:
            from skirret.app.find import find_app

            app = find_app(self.app_path)
        else:
            from skirret.app import Skirret

            app = Skirret("skirret", loader=self.loader) if self.loader else Skirret("skirret")
        if self.config:
            app.config_from_object(self.config)
        given = {"broker_url": (self.broker, "--broker"), "result_backend": (self.result_backend, "--result-backend")}
        app.conf.set_from_command_line({key: pair for key, pair in given.items() if pair[0]})
        return app

    def note(self, text: str) -> None:
        """Tell the person something that is not data (on stderr; silent with ``--quiet``)."""
        if not self.quiet:
            click.echo(text, err=True)

    def rich(self) -> bool:
        """Whether a person looks at stdout."""
        return sys.stdout.isatty()


pass_session = click.make_pass_decorator(Session, ensure=True)
"""Gives a command its `Session` as the first argument."""
