"""Sends tasks: a call becomes a publication (pure), and publications go to the broker (the one I/O line)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from skirret import clock
from skirret import options as option_rules
from skirret.app.preparation import Plan, message, plan, repeat_options
from skirret.app.protocol import ConnectedApp
from skirret.app.settings_view import NO_RETRY, RetryPolicy, SettingsView, revision_of
from skirret.errors import OperationalError
from skirret.message import Envelope, Publication, TaskMessage
from skirret.middleware.outgoing import Outgoing
from skirret.request import Context
from skirret.url import mask
from skirret.wire import task as wire

_ENVELOPE_PROPERTIES = ("correlation_id", "reply_to", "priority", "delivery_mode", "expiration")


class Publisher:
    """One app's way to its broker."""

    def __init__(self, app: ConnectedApp) -> None:
        self._app = app
        self._hooks = app.middleware
        self._view: SettingsView | None = None

    @property
    def view(self) -> SettingsView:
        """The settings as publishing needs them; read again after a change."""
        conf = self._app.conf
        revision = revision_of(conf)
        view = self._view
        if view is None or view.revision is not revision:
            view = self._view = SettingsView.of(conf, revision, self._app.clients.reply_to)
        return view

    def prepare(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        task: Any = None,
        **options: Any,
    ) -> Publication:
        """One call as a message ready to be sent. Nothing is sent, nothing is awaited.

        Args:
            name: the task's name.
            args, kwargs: its arguments.
            task: the task, if this process knows it; its attributes are options.
            **options: as of ``apply_async``.

        Raises:
            EncodeError: an argument cannot be serialised.
            QueueNotFound: the route's queue is unknown.
            TypeError: an option is misspelt.
            ValueError: an option has no sensible value.
        """
        view = self.view
        arguments = kwargs or {}
        planned = self._plan(view, name, args, arguments, options, task)
        return self._publication(message(name, args, arguments, planned, view), planned, view)

    async def aprepare(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        task: Any = None,
        **options: Any,
    ) -> Publication:
        """`prepare` that awaits hooks which are coroutines."""
        if not self._hooks.before_publish:
            return self.prepare(name, args, kwargs, task=task, **options)
        built, planned = self.compose(name, args, kwargs or {}, task=task, options=options)
        outgoing = self._outgoing(built, self.encoded(built, planned), planned)
        await self._hooks.atell(self._hooks.before_publish, outgoing, veto=True)
        return _sealed(built, planned, self._changed(built, planned, outgoing))

    def _plan(self, view: SettingsView, name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Plan:
        if options:
            if not options.keys() <= option_rules.KNOWN:
                option_rules.check(options.keys() - set(options.get("stamped_headers") or ()))
            return plan(view, name, args, kwargs, options, task)
        if task is None or not view.router.by_name_only:
            return plan(view, name, args, kwargs, options, task)
        # The plan of an unadorned call is the same each time; a task forgets it when one of its attributes is set.
        kept: tuple[SettingsView, Plan] | None = task.__dict__.get("_kept_plan")
        if kept is None or kept[0] is not view:
            kept = (view, plan(view, name, args, kwargs, options, task))
            task.__dict__["_kept_plan"] = kept
        return kept[1]

    def compose(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], *, task: Any, options: Any
    ) -> tuple[TaskMessage, Plan]:
        """The message of a call and its plan, not yet serialised."""
        view = self.view
        planned = self._plan(view, name, args, kwargs, options, task)
        return message(name, args, kwargs, planned, view), planned

    def encoded(self, built: TaskMessage, planned: Plan) -> Envelope:
        """A composed message in bytes."""
        view = self.view
        return wire.encode(
            built,
            serializer=planned.serializer,
            compression=planned.compression,
            accept=view.accept,
            max_bytes=view.max_bytes,
            properties=planned.properties,
        )

    def _publication(self, built: TaskMessage, planned: Plan, view: SettingsView) -> Publication:
        envelope = self.encoded(built, planned)
        if self._hooks.before_publish:
            outgoing = self._outgoing(built, envelope, planned)
            self._hooks.tell(self._hooks.before_publish, outgoing, veto=True)
            envelope = self._changed(built, planned, outgoing)
        return _sealed(built, planned, envelope)

    def _outgoing(self, built: TaskMessage, envelope: Envelope, planned: Plan) -> Outgoing:
        properties = {
            **{name: value for name, value in planned.options.items() if name in option_rules.PROPERTIES},
            **planned.properties,
            **{name: getattr(envelope, name) for name in _ENVELOPE_PROPERTIES},
        }
        route = planned.route
        return Outgoing(
            built.task, body_of(built), envelope.headers, properties, route.exchange, route.routing_key,
            asdict(self.view.retry),
        )  # fmt: skip

    def _changed(self, built: TaskMessage, planned: Plan, outgoing: Outgoing) -> Envelope:
        """The message in bytes with what hooks changed in it: headers, properties, mutable parts of the body."""
        changed = self.encoded(built, planned)
        changed.headers = outgoing.headers
        for name in _ENVELOPE_PROPERTIES:
            setattr(changed, name, outgoing.properties[name])
        changed.properties = option_rules.properties(outgoing.properties)
        return changed

    def send(
        self,
        publications: Sequence[Publication],
        *,
        retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """Hand messages to the broker, durably, or raise.

        Args:
            publications: what `prepare` made; the broker stores a repeated one once.
            retry: repeat after a failure; None is as the settings say.
            retry_policy: instead of ``task_publish_retry_policy``.

        Raises:
            OperationalError: the broker cannot be reached or refuses, within ``broker_publish_timeout`` seconds.
        """
        if not publications:
            return
        self._app.clients.warn_if_embedded()
        self.deliver(publications, retry=retry, retry_policy=retry_policy)
        if self._hooks.after_publish:
            self.sent(publications)

    def deliver(
        self,
        publications: Sequence[Publication],
        *,
        retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """`send` without its warning and its signal, which belong to the caller's thread."""
        view = self.view
        clients = self._app.clients
        policy = view.retry if retry_policy is None else RetryPolicy.of(retry_policy)
        if retry is not None and not retry:
            policy = NO_RETRY
        elif retry and policy is NO_RETRY:
            policy = RetryPolicy()
        attempt = 0
        began = tried = clock.monotonic()
        while True:
            try:
                if view.expects:
                    clients.backend.expect()
                clients.broker.publish(publications)
                if view.send_sent_event:
                    self._app.events.sent(publications)
                return
            except OperationalError as exc:
                now = clock.monotonic()
                left = inf if view.deadline is None else began + view.deadline - now
                # A server that did not answer is asked again only if there is time for another silence.
                if left <= max(0.0, now - tried) or (policy.max_retries is not None and attempt >= policy.max_retries):
                    raise self._refusal(publications, attempt + 1, exc) from exc
            time.sleep(min(policy.pause(attempt), left))
            tried = clock.monotonic()
            attempt += 1

    async def asend(
        self,
        publications: Sequence[Publication],
        *,
        retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None,
    ) -> None:
        """`send` without blocking the event loop: concurrent calls share the broker's round trips.

        A call that is cancelled may have been sent.

        Raises:
            OperationalError: as of `send`.
        """
        from skirret.app.group_commit import committer

        self._app.clients.warn_if_embedded()
        policy = {"retry": retry, "retry_policy": retry_policy}
        await committer().submit(self, publications, policy, self.view.deadline)
        if self._hooks.after_publish:
            for publication in publications:
                await self._hooks.atell(self._hooks.after_publish, outgoing_of(publication))

    def _refusal(self, publications: Sequence[Publication], attempts: int, exc: OperationalError) -> OperationalError:
        url = mask(self._app.broker_url_in_use())
        count = len(publications)
        what = f"task {publications[0].task_id} was" if count == 1 else f"{count} tasks were"
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return OperationalError(
            f"{what} not sent: the broker at {url} did not accept it after {times}: {str(exc).rstrip('.')}. "
            "Check that the server runs and that broker_url is right; calling again is safe."
        )

    def sent(self, publications: Sequence[Publication]) -> None:
        """Tell hooks that messages are with the broker, or leave with a task's outcome."""
        for publication in publications:
            self._hooks.tell(self._hooks.after_publish, outgoing_of(publication))

    def successor(
        self, signature: Mapping[str, Any], args_prefix: Sequence[Any], request: Context, **options: Any
    ) -> Publication:
        """A callback, an errback or the next step of a chain as a message, in the lineage of `request`.

        Args:
            signature: what is to run, as a dict.
            args_prefix: arguments put before its own, unless it is immutable.
            request: the call that it follows.
            **options: win over the signature's own (such as ``chain`` with the steps that remain).
        """
        name = str(signature["task"])
        own = tuple(signature.get("args") or ())
        args = own if signature.get("immutable") else (*args_prefix, *own)
        inherited: dict[str, Any] = {"root_id": request.root_id or request.id, "parent_id": request.id}
        if self.view.inherit_priority:
            inherited["priority"] = (request.delivery_info or {}).get("priority")
        merged = option_rules.merge(options, signature.get("options"), inherited)
        return self._leaving(
            self.prepare(name, args, signature.get("kwargs") or {}, task=self._app.tasks.get(name), **sendable(merged))
        )

    def _leaving(self, publication: Publication) -> Publication:
        """A message that leaves with a task's outcome: it passes `deliver` by, so monitors are told of it here."""
        if self.view.send_sent_event:
            self._app.events.sent([publication])
        return publication

    def again(
        self,
        task: Any,
        request: Context,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        due: float | None = None,
        **options: Any,
    ) -> Publication:
        """The next run of a call that is to be retried: the same id, one retry more.

        Args:
            task: the task.
            request: the run that asks for it.
            args, kwargs: instead of the request's own.
            due: seconds since the epoch before which it must not run; None is now.
            **options: win over those of the request.
        """
        from datetime import UTC, datetime

        changes = {"retries": request.retries + 1, **options}
        if due is not None:
            changes["eta"] = datetime.fromtimestamp(due, UTC)
        return self._leaving(
            self.prepare(
                task.name,
                (request.args or ()) if args is None else args,
                (request.kwargs or {}) if kwargs is None else kwargs,
                task=task,
                **sendable(repeat_options(request, changes)),
            )
        )


def _sealed(built: TaskMessage, planned: Plan, envelope: Envelope) -> Publication:
    return Publication(
        envelope=envelope,
        route=planned.route,
        task_id=built.id,
        due=None if built.eta is None else built.eta.timestamp(),
        expires=None if built.expires is None else built.expires.timestamp(),
        nonce=os.urandom(16).hex(),
    )


def outgoing_of(publication: Publication) -> Outgoing:
    """A publication as hooks see it after it was sent."""
    envelope, route = publication.envelope, publication.route
    decoded = wire.decode(envelope, accept=[envelope.content_type])
    body = body_of(decoded) if isinstance(decoded, TaskMessage) else None
    properties = {**envelope.properties, **{name: getattr(envelope, name) for name in _ENVELOPE_PROPERTIES}}
    task = str(envelope.headers.get("task"))
    return Outgoing(task, body, envelope.headers, properties, route.exchange, route.routing_key)


def body_of(built: TaskMessage) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The body of protocol 2 in Python values: positional arguments, keyword arguments, what follows."""
    embed = {
        "callbacks": built.callbacks,
        "errbacks": built.errbacks,
        "chain": built.chain,
        "chord": built.chord,
    }
    return built.args, built.kwargs, embed


def sendable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the names that `Publisher.prepare` takes itself."""
    return {name: value for name, value in options.items() if name not in {"name", "args", "kwargs", "task", "app"}}
