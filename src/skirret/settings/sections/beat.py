"""The scheduler of periodic tasks."""

from __future__ import annotations

from typing import Any

from skirret.settings import kinds
from skirret.settings.option import Section, option


class BeatSettings(Section):
    """The scheduler of periodic tasks."""

    beat_schedule: dict[str, Any] = option(
        {},
        "The periodic tasks: a name for each, with its task, schedule, arguments and options.",
        old="CELERYBEAT_SCHEDULE",
    )
    beat_scheduler: Any = option(
        "skirret.beat:PersistentScheduler",
        "The class that keeps the schedule, or where to import it from.",
        kind=kinds.importable,
        celery="celery.beat:PersistentScheduler",
        old="CELERYBEAT_SCHEDULER",
    )
    beat_schedule_filename: str = option(
        "celerybeat-schedule",
        "File in which the default scheduler remembers when each entry last ran.",
        kind=kinds.path,
        old="CELERYBEAT_SCHEDULE_FILENAME",
    )
    beat_max_loop_interval: float | None = option(
        0,
        "Longest sleep between two looks at the schedule; 0 leaves it to the scheduler.",
        unit="seconds",
        minimum=0,
        old="CELERYBEAT_MAX_LOOP_INTERVAL",
    )
    beat_sync_every: int = option(
        0,
        "How many tasks may be sent before the schedule is saved; 0 saves by time only.",
        minimum=0,
        old="CELERYBEAT_SYNC_EVERY",
    )
    beat_cron_starting_deadline: float | None = option(
        None,
        "How late a crontab run that was missed may still be made up for at start; unset makes up for any.",
        unit="seconds",
        minimum=0,
        old="CELERYBEAT_CRON_STARTING_DEADLINE",
    )
    beat_enable_remote_control: bool = option(
        False, "Whether the scheduler answers remote commands such as ping.", old="CELERYBEAT_ENABLE_REMOTE_CONTROL"
    )
    beat_remote_control_max_tick_age: float | None = option(
        None,
        "Age of the last look at the schedule from which the scheduler no longer answers as healthy.",
        unit="seconds",
        minimum=0,
        old="CELERYBEAT_REMOTE_CONTROL_MAX_TICK_AGE",
    )
    beat_executable: str | None = option(None, "Python that runs a detached scheduler.", kind=kinds.path)
    beat_gid: Any = option(None, "Group, by name or number, that a detached scheduler changes to.")
    beat_logfile: str | None = option(
        None, "File that the scheduler logs to; standard error if unset.", kind=kinds.path
    )
    beat_pidfile: str | None = option(None, "File in which a detached scheduler keeps its process id.", kind=kinds.path)
    beat_uid: Any = option(None, "User, by name or number, that a detached scheduler changes to.")
    beat_umask: Any = option(None, "File mode mask of a detached scheduler, as octal text or a number.")
