"""On RabbitMQ alone nothing keeps a revoke: it holds for the workers that hear it, and who revokes is told so."""

from __future__ import annotations

import time

import pytest

from skirret.errors import TaskRevokedError
from tests.interop.fleet import OURS, Fleet

pytestmark = pytest.mark.filterwarnings("ignore::celery.exceptions.DuplicateTaskNameWarning")  # of earlier fleets


@pytest.fixture
def fleet(rabbitmq, rabbitmq_host, tmp_path):
    fleet = Fleet(rabbitmq, tmp_path, rabbitmq.url_of(rabbitmq_host), "rpc://")
    with fleet.clients(), fleet.our_worker(OURS):
        yield fleet


def test_a_worker_that_heard_of_it_does_not_start_the_task(fleet):
    client = fleet.client(OURS)
    task = client.tasks["jobs.echo"]
    assert task.apply_async(("first",), queue=OURS).get(timeout=20) == "first"
    revoked = task.apply_async(("never",), queue=OURS, countdown=4)
    with pytest.warns(RuntimeWarning, match="coordination_url"):
        replies = client.control.revoke(revoked.id, reply=True, timeout=1)
    (reply,) = replies
    assert list(reply.values()) == [{"ok": f"tasks { ({revoked.id})!r} flagged as revoked"}]
    start = time.monotonic()
    with pytest.raises(TaskRevokedError):
        revoked.get(timeout=10)
    assert time.monotonic() - start > 1.0, "a delayed task is revoked when it comes due"
    assert client.control.inspect(timeout=1).revoked() != {}
    assert task.apply_async(("second",), queue=OURS).get(timeout=20) == "second"
