"""Puts what RabbitMQ or the network reports into words that say what to do: the one border for errors."""

from __future__ import annotations

from skirret.errors import OperationalError

NOT_FOUND = 404
"""There is no such queue or exchange."""

_ADVICE = {
    311: "a message is larger than it takes (max_message_size). Nothing was stored; send less, such as a reference",
    320: "an operator or a shutdown closed the connection. Trying again reaches it, or another node, when it is back",
    402: "it cannot find this virtual host, or it is down; see rabbitmqctl list_vhosts",
    403: "user name, password or permissions are wrong: this user needs configure, write and read in the virtual host",
    NOT_FOUND: "there is no such queue or exchange",
    405: "somebody else has the queue for himself (it is exclusive)",
    406: "a queue or exchange exists with other arguments than it is declared with; declare it as it is, or delete it",
    501: "it did not understand a frame; something between here and there is not AMQP 0-9-1",
    504: "the channel is closed",
    506: "it is out of resources",
    530: "it does not allow this: the virtual host is missing, or this user may not enter it",
    540: "it does not know how to do this; another version of RabbitMQ does",
    541: "it had an internal error; see its log",
}


_OVERDUE = "delivery acknowledgement"
"""What the server says where it has waited for the end of a task for too long."""

_OVERDUE_ADVICE = (
    "a worker held a message for longer than its consumer_timeout allows, and so it goes to somebody else; raise it in "
    "rabbitmq.conf, or for the queue by a policy"
)


class Refused(Exception):
    """The server closed a channel or the connection with an error.

    Args:
        code: AMQP's reply code, such as 404.
        text: what the server said.
        whole: whether the connection is closed, not only the channel.
    """

    def __init__(self, code: int, text: str, *, whole: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.whole = whole


class Broken(Exception):
    """The line to the server is gone, and what was sent may or may not have been done.

    Args:
        cause: what the operating system said.
        timed_out: the server did not answer in time.
    """

    def __init__(self, cause: BaseException | str, *, timed_out: bool = False) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.timed_out = timed_out


class Blocked(Broken):
    """The server takes no messages now: an alarm for its memory or disk is on."""


def in_words(exc: Broken | Refused, where: object) -> OperationalError:
    """Our error for one of theirs; `where` names the server."""
    if isinstance(exc, Refused):
        advice = _OVERDUE_ADVICE if _OVERDUE in str(exc) else _ADVICE.get(exc.code)
        return OperationalError(f"the {where} refused: {advice} ({exc})" if advice else f"the {where} refused: {exc}")
    if isinstance(exc, Blocked):
        return OperationalError(
            f"the {where} takes no messages now ({exc}). Give it memory or disk, or let workers drain it; nothing that "
            "was stored is lost"
        )
    if exc.timed_out:
        return OperationalError(f"the {where} did not answer in time; it may be down, frozen or cut off ({exc})")
    return OperationalError(f"the {where} cannot be reached: {exc}. Check that it runs and that the address is right")
