"""What the manual says of Redis: its permissions are enough for a worker and its clients, and no more than it lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skirret import Skirret
from skirret.testing.worker import worker
from tests.servers.redis_servers import RedisServer, redis_binary

PAGE = Path(__file__).parents[2] / "docs/guide/redis.md"


@pytest.fixture
def server(tmp_path):
    server = RedisServer(redis_binary(), tmp_path)
    yield server
    server.stop()


def test_the_permissions_of_the_manual_are_enough(server):
    (rule,) = re.findall(r"^ACL SETUSER .*$", PAGE.read_text(), re.MULTILINE)
    server.ask(*rule.split())
    server.ask("ACL", "LOG", "RESET")
    url = server.url.replace("redis://", "redis://shop:secret@")
    app = Skirret("manual", broker=url, backend=url, set_as_current=False)

    @app.task(bind=True, max_retries=2)
    def double(self, x):
        if not self.request.retries:
            raise self.retry(countdown=0.05)
        return 2 * x

    @app.task
    def fail():
        raise ValueError("no")

    with worker(app):
        assert double.delay(2).get(timeout=10) == 4
        assert double.apply_async((3,), countdown=0.1, priority=9).get(timeout=10) == 6
        with pytest.raises(ValueError, match="no"):
            fail.delay().get(timeout=10)
        revoked = fail.apply_async(countdown=60)
        revoked.revoke()
        revoked.forget()
        assert app.broker.size("celery").delayed == 1
        assert len(app.broker.delayed("celery")) == 1
        assert app.broker.peek("celery") == []
        assert app.broker.dead() == []
        assert app.broker.purge("celery") == 1
        assert app.control.ping(timeout=5), "commands are heard and answered"
    app.close()
    assert server.ask("ACL", "LOG") == b"*0\r\n", "a command was refused"
