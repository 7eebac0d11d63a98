"""What holds for the app as a whole."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class GeneralSettings(Section):
    """What holds for the app as a whole."""

    accept_content: tuple[str, ...] = option(
        ("json",),
        "Serializers, by name or content type, whose messages this app agrees to decode.",
        old="CELERY_ACCEPT_CONTENT",
    )
    result_accept_content: tuple[str, ...] | None = option(
        None,
        "Serializers whose results this app agrees to decode; as `accept_content` if unset.",
        old="RESULT_ACCEPT_CONTENT",
    )
    enable_utc: bool = option(
        True,
        "Whether moments in messages are written in UTC rather than in `timezone`.",
        unused="moments in messages always carry their offset from UTC, and mean the same in every zone; the app's own "
        "zone is `timezone`, and UTC where that is unset",
        old=("ENABLE_UTC", "CELERY_ENABLE_UTC"),
    )
    timezone: Any = option(
        None,
        "Time zone in which schedules are read and naive moments are meant, by its IANA name.",
        kind=kinds.timezone,
        old="CELERY_TIMEZONE",
    )
    imports: tuple[str, ...] = option(
        (), "Modules that a worker imports at its start because they define tasks.", old="CELERY_IMPORTS"
    )
    include: tuple[str, ...] = option(
        (),
        "More modules that a worker imports, beside `imports`; what the app's `include` argument fills.",
        old="CELERY_INCLUDE",
    )
    override_backends: dict[str, Any] = option(
        {},
        "Result stores of your own: URL scheme to the path of a class.",
        unused="a result store of your own is an entry point of the group `skirret.backends`",
    )
