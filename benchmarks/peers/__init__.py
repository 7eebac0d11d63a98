"""The queues that are measured, by name: which module speaks for each, and which environment has its library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One queue.

    Args:
        name: on the command line and in JSON.
        title: in tables.
        environment: which lock of ``benchmarks/requirements`` it runs with.
        library: the distribution whose version is told, and the module by which it is found.
        concurrency: what a concurrency of N means for it; everything else is as shipped.
        only_drains: it is no queue that a client could wait on.
        brokers: on which it is measured.
    """

    name: str
    title: str
    environment: str
    library: str
    concurrency: str
    only_drains: bool = False
    brokers: tuple[str, ...] = ("redis",)

    @property
    def module(self) -> str:
        """Where its adapter is."""
        return f"benchmarks.peers.{self.name.partition('-')[0]}"


BOTH = ("redis", "rabbitmq")

ENTRIES = {
    entry.name: entry
    for entry in (
        Entry("skirret", "Skirret", "skirret", "skirret", "N prefork children", brokers=BOTH),
        Entry("celery", "Celery prefork", "celery", "celery", "N prefork children", brokers=BOTH),
        Entry("celery_quorum", "Celery, quorum queue", "celery", "celery", "N prefork children", brokers=("rabbitmq",)),
        Entry("celery-threads", "Celery threads", "celery", "celery", "N threads of one process"),
        Entry("dramatiq", "dramatiq", "dramatiq", "dramatiq", "N processes, 8 threads in each", brokers=BOTH),
        Entry("huey", "huey", "huey", "huey", "N worker processes"),
        Entry("rq", "rq", "rq", "rq", "a pool of N workers, each forks for each task"),
        Entry("taskiq", "taskiq", "taskiq", "taskiq", "N processes, 100 coroutines in each", brokers=BOTH),
        Entry("arq", "arq", "arq", "arq", "N processes, 10 coroutines in each"),
        Entry("saq", "saq", "saq", "saq", "N processes, 10 coroutines in each"),
        Entry("streaq", "streaq", "streaq", "streaq", "N processes, 16 coroutines in each"),
        Entry("floor", "the floor", "skirret", "redis", "supervisor and N children, no policy", only_drains=True),
    )
}
