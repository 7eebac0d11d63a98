"""Setting apart what a command line says to options that its app adds, before the command reads its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import click


def set_apart(
    ctx: click.Context, command: click.Command, args: Iterable[str], added: Mapping[str, click.Option] | None
) -> tuple[list[str], list[str]]:
    """Divide arguments into the command's own and those of the app's options.

    Args:
        ctx: the context that the command is called in.
        command: a command; within a group the subcommands' options are its own too.
        args: what follows the command's name.
        added: the app's options by their spellings; what is neither's stays, for the command to refuse. None says that
            they are not known yet: then each unknown option and the words up to the next one are the app's. That is
            for commands without words of their own.
    """
    own: list[str] = []
    apart: list[str] = []
    waiting = deque(args)
    known = _spellings(ctx, command)
    while waiting:
        word = waiting.popleft()
        if word == "--":
            own += [word, *waiting]
            break
        if not _is_option(word):
            own.append(word)
            inner = command.get_command(ctx, word) if isinstance(command, click.Group) else None
            if inner is not None:
                command, known = inner, _spellings(ctx, inner)
            continue
        values = _values_after(word, known)
        if values is not None:
            own.append(word)
            _move(waiting, own, values)
        elif added is None:
            apart.append(word)
            while waiting and not _is_option(waiting[0]):
                apart.append(waiting.popleft())
        elif (values := _values_after(word, added)) is not None:
            apart.append(word)
            _move(waiting, apart, values)
        else:
            own.append(word)
    return own, apart


def spellings(options: Iterable[click.Option]) -> dict[str, click.Option]:
    """Options by all that they are written as."""
    return {name: option for option in options for name in (*option.opts, *option.secondary_opts)}


def _spellings(ctx: click.Context, command: click.Command) -> dict[str, click.Option]:
    return spellings(one for one in command.get_params(ctx) if isinstance(one, click.Option))


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _values_after(word: str, options: Mapping[str, click.Option]) -> int | None:
    """How many of the following words are values of the option that `word` is; None if it is none of these."""
    if word.startswith("--"):
        name, equals, _ = word.partition("=")
        option = options.get(name)
        return None if option is None else _values(option) - bool(equals)
    for at, letter in enumerate(word[1:], start=1):  # short options may be written together, the last with its value
        option = options.get(f"-{letter}")
        if option is None:
            return None
        if values := _values(option):
            return values - (at + 1 < len(word))
    return 0


def _values(option: click.Option) -> int:
    return 0 if option.is_flag or option.count else option.nargs


def _move(source: deque[str], target: list[str], count: int) -> None:
    target.extend(source.popleft() for _ in range(min(count, len(source))))
