"""Options that tell their setting and their environment variables, and the kinds of value they take."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
if TYPE_CHECKING:
    _Kind = click.ParamType[Any]
    _Choice = click.Choice[str]
else:  # older clicks have no type arguments here
    _Kind = click.ParamType
    _Choice = click.Choice


class Option(click.Option):
    """An option whose help names the setting that it overrides and the environment variables that set it.

    Args:
        setting: the setting's key.
        env: the end of the variables' names, such as ``WORKER_POOL`` for SKIRRET_WORKER_POOL and CELERY_WORKER_POOL.
        bare_env: a further variable without prefix.
    """

    def __init__(
        self,
        declarations: Sequence[str] | None = None,
        *,
        setting: str | None = None,
        env: str | None = None,
        bare_env: bool = False,
        **attributes: Any,
    ) -> None:
        self.setting = setting
        variables = [f"SKIRRET_{env}", f"CELERY_{env}"] if env else []
        if env and bare_env:
            variables.append(env)
        notes = []
        if setting:
            notes.append(f"setting: {setting}")
        if variables:
            notes.append(f"env: {', '.join(variables)}")
            attributes.setdefault("envvar", variables)
        if notes:
            attributes["help"] = f"{attributes.get('help', '')}  [{'; '.join(notes)}]"
        super().__init__(declarations, **attributes)


def option(*declarations: str, **attributes: Any) -> Callable[[_F], _F]:
    """``click.option`` with the arguments of `Option`."""
    return click.option(*declarations, cls=Option, **attributes)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")
"""The option of every command that reads."""


def daemon_options(command: _F, part: str = "worker") -> _F:
    """The options of every command that can be a service of its machine: pid file, user, group, mask, Python.

    Args:
        command: the command.
        part: what the settings' names begin with.
    """
    added = (
        option(
            "--pidfile",
            setting=f"{part}_pidfile",
            env="PIDFILE",
            type=click.Path(dir_okay=False),
            help="Keep the process id in this file, and do not start if a living process has it; %n as in --logfile.",
        ),
        option("--uid", setting=f"{part}_uid", env="UID", metavar="USER", help="Become this user, for good."),
        option("--gid", setting=f"{part}_gid", env="GID", metavar="GROUP", help="Become this group (with --uid)."),
        option(
            "--umask", setting=f"{part}_umask", env="UMASK", metavar="OCTAL", help="Make files with this mode mask."
        ),
        option(
            "--executable",
            env="EXECUTABLE",
            type=click.Path(dir_okay=False),
            help="With --detach: the Python that runs it.",
        ),
    )
    for add in reversed(added):
        command = add(command)
    return command


class CommaList(_Kind):
    """Names separated by commas, as a list."""

    name = "name,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        return [part.strip() for part in str(value).split(",") if part.strip()]


class MaxMin(_Kind):
    """Two numbers ``max,min``, or the greater one alone, as a pair (max, min)."""

    name = "max,min"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not (1 <= len(parts) <= 2 and all(part.isdigit() for part in parts)):
            self.fail(f"{value!r} is not max,min, such as 10,3", param, ctx)
        numbers = [int(part) for part in parts]
        most, least = max(numbers), min(numbers) if len(numbers) == 2 else 0
        if not most:
            self.fail("a pool of at most 0 children runs nothing", param, ctx)
        return most, least


class Json(_Kind):
    """A JSON value of one kind."""

    def __init__(self, kind: type, name: str) -> None:
        self.kind = kind
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            found = json.loads(value)
        except ValueError as exc:
            self.fail(f"{value!r} is not JSON: {exc}", param, ctx)
        if not isinstance(found, self.kind):
            example = "'[1, 2]'" if self.kind is list else "'{\"key\": 1}'"
            self.fail(f"{value!r} is not a JSON {self.name.split()[-1]}, such as {example}", param, ctx)
        return found


class Moment(_Kind):
    """A moment in ISO 8601, or a number of seconds where that makes sense."""

    name = "moment"

    def __init__(self, *, seconds: bool = False) -> None:
        self.seconds = seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | datetime:
        if isinstance(value, (float, datetime)):
            return value
        if self.seconds:
            try:
                return float(value)
            except ValueError:
                pass
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            also = " nor a number of seconds" if self.seconds else ""
            self.fail(f"{value!r} is not a moment such as 2030-01-31T08:00:00+00:00{also}", param, ctx)


class Choice(_Choice):
    """One of some names, with the nearest one suggested."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as exc:
            from difflib import get_close_matches

            near = get_close_matches(str(value).lower(), [str(c).lower() for c in self.choices], n=1)
            if not near:
                raise
            self.fail(f"{exc.message} Did you mean {near[0]!r}?", param, ctx)


class PoolName(Choice):
    """A pool by its name: one of ours, or one that an installed package brings."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            from skirret.settings import kinds
            from skirret.worker.child.slots import SLOTS

            name = str(value)
            if SLOTS.knows(name):
                return name
            if name == "custom" or ":" in name or "." in name:
                self.fail(f"{name!r} is no pool. {kinds.POOLS_BY_NAME}", param, ctx)
            raise


class SuggestingGroup(click.Group):
    """A group that answers a misspelt command with the near ones, on every version of click."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=3)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"`{ctx.command_path} --help` lists them."
        raise click.UsageError(f"There is no command {name!r}. {hint}", ctx)
