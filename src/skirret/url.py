"""A server's address: parsed once, printed without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from skirret.errors import ImproperlyConfigured

MASK = "**"


@dataclass(frozen=True, slots=True)
class Url:
    """One server's address. ``str()`` and ``repr()`` mask the password; `full` is the text with it."""

    scheme: str
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """The query string as a dict; a later key wins."""
        return dict(self.query)

    @property
    def full(self) -> str:
        """The address with its password, for drivers only."""
        return self._text(self.password)

    def _text(self, password: str | None) -> str:
        login = ""
        if self.username is not None or password is not None:
            login = quote(self.username or "", safe="")
            if password is not None:
                login += ":" + (password if password == MASK else quote(password, safe=""))
            login += "@"
        host = self.host or ""
        if ":" in host:
            host = f"[{host}]"
        port = "" if self.port is None else f":{self.port}"
        query = "" if not self.query else "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in self.query)
        return f"{self.scheme}://{login}{host}{port}{self.path}{query}"

    def __str__(self) -> str:
        return self._text(None if self.password is None else MASK)

    __repr__ = __str__


def parse(text: str) -> Url:
    """The parts of an address.

    Args:
        text: such as ``redis://:secret@localhost:6379/0?x=1``; a bare scheme (``memory``) is allowed.

    Raises:
        ImproperlyConfigured: it is not an address.
    """
    if "://" not in text:
        text = f"{text}://"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its text may quote a piece of the password
        raise ImproperlyConfigured(
            f"{mask(text)!r} is not a server address: its port is no number, or its user name or password holds one of "
            "/ : # ? @ [ ], which must be percent-encoded"
        ) from None
    if not parts.scheme:
        raise ImproperlyConfigured(f"{mask(text)!r} names no scheme, such as redis:// or sqlite:///")
    return Url(
        scheme=text.split("://", 1)[0],
        host=parts.hostname,
        port=port,
        username=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        path=parts.path,
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
    )


def mask(text: Any) -> str:
    """The text of an address, or of a ``;``-separated list of them, with each password masked."""
    masked = []
    for part in str(text).split(";"):
        head, sep, tail = part.partition("://")
        login, at, host = tail.rpartition("@")
        if sep and at and ":" in login:
            user = login.split(":", 1)[0]
            part = f"{head}://{user}:{MASK}@{host}"
        masked.append(part)
    return ";".join(masked)
