"""The FastAPI example with a real worker, and an event loop that is never blocked."""

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from skirret import Skirret
from skirret.errors import OperationalError
from skirret.integrations.fastapi import lifespan
from tests.integrations.programs import EXAMPLES, copied, its_tests_pass, well, worker
from tests.servers.redis_servers import free_port

CLIENT = """
import asyncio, time
import httpx2
from fastapi.testclient import TestClient
from pictures import app

with TestClient(app) as client:
    assert client.get("/pictures/now", params={"width": 3}).json() == ["*", "**", "***"]
    picture = client.post("/pictures/", params={"width": 2}).json()["id"]
    deadline = time.monotonic() + 20
    while (answer := client.get(f"/pictures/{picture}").json())["state"] != "SUCCESS":
        assert time.monotonic() < deadline
    assert answer["rows"] == ["*", "**"]

async def many():
    longest, last = 0.0, time.monotonic()
    async def tick():
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    async with app.router.lifespan_context(app) as state:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            ticking = asyncio.create_task(tick())
            answers = await asyncio.gather(*(client.get("/pictures/now?width=40") for _ in range(50)))
            ticking.cancel()
    assert all(answer.status_code == 200 and len(answer.json()) == 40 for answer in answers)
    return longest

print("longest pause of the loop:", asyncio.run(many()))
"""


@pytest.mark.slow
def test_the_example_draws_pictures_without_blocking_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKIRRET_HOME", raising=False)
    directory = copied(EXAMPLES / "fastapi", tmp_path / "example")
    its_tests_pass(directory)
    (directory / "client.py").write_text(CLIENT)
    with worker("-m skirret -A pictures:queue worker -l info -P asyncio", directory) as program:
        pause = float(well("client.py", directory).rsplit(":", 1)[1])
        assert pause < 2.0, "fifty requests that wait for workers, one after another, would take longer"
        assert program.stop() == 0


def test_the_connections_live_as_long_as_the_program():
    queue = Skirret("queue", broker="memory://", backend="memory://", set_as_current=False)
    steps = []

    @asynccontextmanager
    async def also(program):
        steps.append("own begins")
        yield {"own": "state"}
        steps.append("own ends")

    program = FastAPI(lifespan=lifespan(queue, also))

    @program.get("/")
    def show(request: Request):
        return [request.state.own, request.state.skirret is queue, sorted(queue.clients._open)]

    with TestClient(program) as client:
        assert client.get("/").json() == ["state", True, ["backend", "broker"]]
    assert steps == ["own begins", "own ends"]
    assert not queue.clients._open


def test_a_broker_that_is_not_there_is_told_at_the_start():
    queue = Skirret("queue", broker=f"redis://127.0.0.1:{free_port()}", set_as_current=False)
    with pytest.raises(OperationalError), TestClient(FastAPI(lifespan=lifespan(queue))):
        pass
