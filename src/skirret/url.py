"""A server's address: parsed once, printed without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from skirret.errors import ImproperlyConfigured

MASK = "**"
KEYED = frozenset({"sqs"})
"""Schemes whose address may name a key and its secret and no host, as Celery's users write: ``sqs://KEY:SECRET/...``."""


@dataclass(frozen=True, slots=True)
class Url:
    """One server's address. ``str()`` and ``repr()`` mask the password; `full` is the text with it.

    `others` are further servers of the same system, such as the other sentinels of ``sentinel://a;sentinel://b``.
    """

    scheme: str
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()
    others: tuple[Url, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """The query string as a dict; a later key wins."""
        return dict(self.query)

    @property
    def full(self) -> str:
        """The address with its password, for drivers only."""
        return ";".join([self._text(self.password), *(other.full for other in self.others)])

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
        return ";".join([self._text(None if self.password is None else MASK), *(str(other) for other in self.others)])

    __repr__ = __str__


def parse(text: str) -> Url:
    """The parts of an address.

    Args:
        text: such as ``redis://:secret@localhost:6379/0?x=1``; a bare scheme (``memory``) is allowed, and so are the
            several servers of one system, such as ``sentinel://a:26379;sentinel://b:26379``.

    Raises:
        ImproperlyConfigured: it is not an address.
    """
    if "://" not in text:
        text = f"{text}://"
    text, *others = _servers(text)
    scheme, _, tail = text.partition("://")
    netloc, slash, path = tail.partition("/")
    if scheme.lower() in KEYED and "@" not in netloc and ":" in netloc:
        text = f"{scheme}://{netloc}@{slash}{path}"
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
        others=tuple(parse(other) for other in others),
    )


def _servers(text: str) -> list[str]:
    parts = text.split(";")
    return parts if all("://" in part for part in parts) else [text]


def mask(text: Any) -> str:
    """The text of an address, or of a ``;``-separated list of them, with each password masked."""
    masked = []
    for part in str(text).split(";"):
        head, sep, tail = part.partition("://")
        login, at, host = tail.rpartition("@")
        if sep and not at and head.lower() in KEYED:
            login, at, host = tail.partition("/")
        if sep and at and ":" in login:
            user = login.split(":", 1)[0]
            part = f"{head}://{user}:{MASK}{at}{host}"
        masked.append(part)
    return ";".join(masked)
