"""The children of a worker: as many as asked for, replaced when they die, ended in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from skirret import backoff, clock, loggers
from skirret.errors import SkirretError
from skirret.worker import processors
from skirret.worker.child.orders import HANDLER, Fork, Forked
from skirret.worker.child_line import ChildLine
from skirret.worker.frames import Ready, Up
from skirret.worker.handler_line import AGAIN, HandlerLine
from skirret.worker.job import Job
from skirret.worker.loop import Loop, Timer
from skirret.worker.manifest import Manifest
from skirret.worker.options import WorkerOptions
from skirret.worker.template_line import TemplateLine
from skirret.worker.template_process import Begun

logger = loggers.own("skirret.worker")

STORM_DEATHS = 5
STORM_SECONDS = 10.0

ISOLATION = 30.0
"""Seconds for which a child made for suspects is kept without one."""

FAREWELL = 1.0
"""Seconds that children get to leave by themselves, once nothing runs in them."""


@dataclass(slots=True)
class Heard:
    """What a pool calls: methods of the worker.

    `frames` gets a child and what came up; `changed` is called when a child became ready; `died` gets a child whose
    line is closed, the jobs that it had not started, how it ended in words, and whether a task can be blamed (not if
    the child went down with its template); `broken` is called when the app cannot be imported any more.
    """

    frames: Callable[[ChildLine, list[Up]], object]
    changed: Callable[[], object]
    died: Callable[[ChildLine, list[Job], str, bool], object]
    broken: Callable[[SkirretError], object]


class Pool:
    """Children forked from one template.

    Args:
        loop: the supervisor's loop.
        options, hostname: handed to the template.
        heard: whom to tell.
        begun: the first template's process, if it runs already.
    """

    def __init__(
        self, loop: Loop, options: WorkerOptions, hostname: str, heard: Heard, begun: Begun | None = None
    ) -> None:
        self.children: list[ChildLine] = []
        self.handler: HandlerLine | None = None
        """The line to the process that calls the worker's own hooks, if the app has any."""
        self.kills = True
        self.quota: Callable[[int], int | None] = lambda _number: None
        """How many tasks a child runs in its life, by its number."""
        self.alive_within = 10.0
        """Seconds within which a child must be ready that has a processor for itself."""
        self._loop = loop
        self._options = options
        self._hostname = hostname
        self._heard = heard
        self._kind = ""
        self._count = 0
        self._slots = 1
        self._number = 0
        self._by_number: dict[int, ChildLine] = {}
        self._by_pid: dict[int, ChildLine] = {}
        self._deaths: deque[float] = deque(maxlen=STORM_DEATHS + 1)
        self._storm = 0
        self._next_try: Timer | None = None
        self._isolating = False
        self._stopping = False
        self._template = self._new_template(begun=begun)
        self._former: list[TemplateLine] = []
        """Templates whose children still finish what they run."""
        self._renewing: TemplateLine | None = None

    def import_app(self) -> Manifest:
        """Wait for the template; its manifest.

        Raises:
            ImproperlyConfigured: the app cannot be used.
            AppFailed: the user's code raised at import.
        """
        return self._template.manifest()

    def start(self, kind: str, count: int, slots: int) -> None:
        """Make `count` children of pool `kind` with `slots` slots each."""
        self._kind, self._count, self._slots = kind, count, slots
        self._template.attach(self._loop)
        self._fill()

    def stop(self) -> None:
        """Ask all children to finish what they run and leave."""
        self._stopping = True
        for child in self.children:
            child.condemned = True
            child.ask_to_stop()

    def kill(self) -> bool:
        """End all children now; True, because that can be done."""
        self._stopping = True
        for child in self.children:
            child.kill()
        return True

    def close(self) -> None:
        """Let the children leave, then end the template; whoever is left ends with it."""
        self._stopping = True
        farewell = clock.Deadline(FAREWELL)
        while any(child.ready for child in self.children) and not farewell.passed():
            self._template.listen(farewell.left() or 0.0)
        for template in [self._template, *self._former, *([] if self._renewing is None else [self._renewing])]:
            template.close()
        for child in list(self.children):
            self._forget(child)
            child.close()

    @property
    def size(self) -> int:
        """Slots in all, also of children that are being started."""
        return self._count * self._slots

    def resize(self, size: int) -> None:
        """Have so many slots in all from now on; children that are too many finish what they run and leave."""
        staying = [child for child in self.children if not (child.condemned or child.isolated)]
        if self._slots == 1:
            self._count = size
            surplus = sorted(staying, key=ChildLine.held)[: max(0, len(staying) - size)]
        else:  # a child's slots are made with it, so that another size needs other children
            self._slots = -(-size // self._count)
            surplus = [child for child in staying if child.slots != self._slots]
        for child in surplus:
            self.condemn(child)
        self._fill()

    def condemn(self, child: ChildLine) -> None:
        """Let one child finish what it runs and leave; another takes its place at once."""
        if not child.condemned:
            child.condemned = True
            child.ask_to_stop()
            self._fill()

    def replace(self, child: ChildLine) -> None:
        """Kill one child, blaming nobody; another takes its place at once."""
        child.innocent = True
        child.kill()
        self.condemn(child)

    def isolate(self) -> None:
        """Offer a child in which a suspect runs alone, where the others have many slots."""
        if self._slots > 1 and not self._isolating:
            self._isolating = True
            self._loop.call_later(ISOLATION, self._retire)
            self._fill()

    @property
    def renewing(self) -> bool:
        """Whether the app is being imported anew just now."""
        return self._renewing is not None

    def restart(self, imported: Callable[[Manifest], object], options: WorkerOptions | None = None) -> None:
        """Import the app anew; once that is done, new children take the place of the old ones, which finish first.

        If it cannot be imported, everything stays as it is, and the log says why.

        Args:
            imported: called with the new manifest before the first new child is made.
            options: what the new template is told, if not what the old one was.
        """
        if self._renewing is not None or self._stopping:
            return

        def done(manifest: Manifest) -> None:
            self._renewing = None
            if self._stopping:
                new.dismiss()
                return
            self._former.append(self._template)
            self._template = new
            imported(manifest)
            if self.handler is not None:  # the old one carries out what it was told, and leaves
                self.handler.died()
            logger.info("The app was imported anew; new children take over.")
            for child in list(self.children):
                self.condemn(child)
            self._dismiss_idle()

        def failed(exc: SkirretError) -> None:
            self._renewing = None
            logger.error("The app cannot be imported anew, so everything stays as it was: %s", exc)
            new.dismiss()

        self._options = options or self._options
        new = self._renewing = self._new_template(done, failed)
        new.attach(self._loop)

    def _dismiss_idle(self) -> None:
        """Let former templates go that have no children any more."""
        homes = {child.home for child in self.children}
        for template in [template for template in self._former if template not in homes]:
            self._former.remove(template)
            template.dismiss()

    def _retire(self) -> None:
        for child in [child for child in self.children if child.isolated]:
            if child.held():
                self._loop.call_later(ISOLATION, self._retire)
                return
            child.condemned = True
            child.ask_to_stop()
        self._isolating = False

    def _new_template(
        self,
        imported: Callable[[Manifest], object] = lambda _manifest: None,
        broken: Callable[[SkirretError], object] | None = None,
        begun: Begun | None = None,
    ) -> TemplateLine:
        made = TemplateLine(
            self._options,
            self._hostname,
            forked=self._forked,
            exited=self._exited,
            gone=lambda: self._template_gone(made),
            broken=broken or self._heard.broken,
            imported=imported,
            begun=begun,
        )
        return made

    def _fill(self) -> None:
        if self._stopping or self._next_try is not None:
            return
        if self._template.is_gone:
            try:
                self._template = self._new_template()
            except OSError as exc:  # no process or descriptor is left; later there may be
                logger.error("A new template process cannot be started: %s", exc)  # noqa: TRY400  the words tell all
                self._respawn()
                return
            self._template.attach(self._loop)
        self._start_handler()
        staying = [child for child in self.children if not child.condemned]
        isolated = sum(child.isolated for child in staying)
        for _ in range(self._count - (len(staying) - isolated)):
            self._make(self._slots)
        if self._isolating and not isolated:
            self._make(1).isolated = True

    def _start_handler(self) -> None:
        handler = self.handler
        if handler is not None and not (self._stopping or handler.pid or handler.their_end):
            end = handler.open().fileno()
            self._template.fork(Fork(0, HANDLER, 1), [end, end, end])

    def _handler_died(self, how: str) -> None:
        if self.handler is not None and not self._stopping:
            logger.error("The process that calls this worker's hooks was %s; another one is started.", how)
            self.handler.died()
            self._loop.call_later(AGAIN, self._start_handler)

    def _fill_again(self) -> None:
        self._next_try = None
        self._fill()

    def _make(self, slots: int) -> ChildLine:
        self._number += 1
        child = ChildLine(self._loop, self._number, slots, self._frames)
        taken = {other.index for other in self.children}
        child.index = next(index for index in itertools.count(1) if index not in taken)
        child.quota = self.quota(child.number)
        self.children.append(child)
        self._by_number[child.number] = child
        order = Fork(child.number, self._kind, slots, child.index)
        child.home = self._template
        self._template.fork(order, [child.child_sock.fileno(), child.permits.read_fd, child.board.fd])
        return child

    def _forked(self, notice: Forked) -> None:
        child = self._by_number.get(notice.number)
        if child is None:
            if self.handler is not None and notice.number == 0:
                self.handler.has_its_end(notice.pid)
                if not notice.pid:
                    self._handler_died(f"never started ({notice.fault})")
            return
        if not notice.pid:
            logger.error("No further process can be started for this worker: %s", notice.fault)
            self._bury(child, "never started", blame=False)
            self._respawn()
            return
        child.pid = notice.pid
        self._by_pid[child.pid] = child
        child.release_child_ends()
        starting = sum(not (one.ready or one.closed) for one in self.children)
        within = self.alive_within * max(1.0, starting / processors.count())
        self._loop.call_later(within, partial(self._must_live, child, within))
        if self._stopping:
            child.ask_to_stop()

    def _must_live(self, child: ChildLine, within: float) -> None:
        if not (child.ready or child.closed):
            logger.error("Child %d was not ready within %.1f s; it is ended.", child.number, within)
            child.kill()

    def _frames(self, child: ChildLine, frames: list[Up]) -> None:
        rest: list[Up] = []
        for frame in frames:
            if isinstance(frame, Ready):
                child.ready = True
            else:
                rest.append(frame)
        if rest:
            self._heard.frames(child, rest)
        if len(rest) < len(frames):
            self._heard.changed()

    def _exited(self, pid: int, how: str) -> None:
        child = self._by_pid.get(pid)
        if child is None:
            if self.handler is not None and pid == self.handler.pid:
                self._handler_died(how)
            return
        asked_to_leave = child.condemned
        self._bury(child, child.fault or how, blame=not child.innocent)
        if not asked_to_leave:
            self._respawn()

    def _bury(self, child: ChildLine, how: str, *, blame: bool) -> None:
        unstarted = child.close()
        self._forget(child)
        self._heard.died(child, unstarted, how, blame)

    def _forget(self, child: ChildLine) -> None:
        if child in self.children:
            self.children.remove(child)
        self._by_number.pop(child.number, None)
        self._by_pid.pop(child.pid, None)
        if self._former:
            self._dismiss_idle()

    def _respawn(self) -> None:
        """Fill up at once, or, when children die in a storm, after a growing pause."""
        now = clock.monotonic()
        self._deaths.append(now)
        if self._stopping or self._next_try is not None:
            return
        if len(self._deaths) > STORM_DEATHS and now - self._deaths[0] < STORM_SECONDS:
            pause = backoff.exponential(self._storm, factor=0.5, maximum=60.0, jitter=False)
            self._storm += 1
            logger.error(
                "%d processes died within %.0f s; the next one starts in %.1f s. Their last words are above.",
                len(self._deaths),
                STORM_SECONDS,
                pause,
            )
            self._next_try = self._loop.call_later(pause, self._fill_again)
        else:
            self._storm = 0
            self._fill()

    def _template_gone(self, template: TemplateLine) -> None:
        orphans = [child for child in self.children if child.home is template]
        if template is self._renewing:
            self._renewing = None
        if template is not self._template and not orphans:
            return  # it was dismissed
        if not self._stopping:
            logger.error("The template process died, and its children with it; it is started anew.")
        if self.handler is not None and template is self._template:
            self.handler.died()
        for child in orphans:
            child.kill()
            self._bury(child, "killed with its template process", blame=False)
        self._respawn()
