"""``skirret init``: a small working project file to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from skirret.cli.parameters import option
from skirret.cli.session import Session, pass_session
from skirret.errors import ImproperlyConfigured

TEMPLATE: Final = '''"""Tasks of this project."""

from skirret import Skirret

app = Skirret("{name}")


@app.task
def add(x, y):
    """Run by a worker, wherever it is."""
    return x + y


@app.task(bind=True, max_retries=3, default_retry_delay=1)
def fetch(self, url):
    """Retries when the network fails."""
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=10) as page:
            return len(page.read())
    except URLError as exc:
        raise self.retry(exc=exc)


if __name__ == "__main__":
    result = add.delay(2, 3)
    print("sent", result.id)
    print("2 + 3 =", result.get(timeout=10))
'''


@click.command(short_help="Write a small working tasks.py.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
@option("--name", default="tasks", show_default=True, help="The module's name.")
@pass_session
def command(session: Session, directory: Path, name: str) -> int:
    """Write a small working tasks.py into DIRECTORY (default: here). Nothing is ever overwritten."""
    if not name.isidentifier():
        raise click.BadParameter(f"{name!r} cannot be a module's name.", param_hint="--name")
    path = directory / f"{name}.py"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name))
    except FileExistsError:
        raise ImproperlyConfigured(f"{path} is there already and was left alone; choose another --name") from None
    except OSError as exc:
        raise ImproperlyConfigured(f"{path} cannot be written: {exc.strerror or exc}") from None
    change = "" if directory.resolve() == Path.cwd() else f"cd {os.fspath(directory)} && "
    session.note(f"Wrote {path}. No server is needed: messages go through a file of the project. Next:")
    click.echo(f"  {change}skirret -A {name} worker -l INFO      # in one terminal")
    click.echo(f"  {change}python {name}.py                      # in another")
    return 0
