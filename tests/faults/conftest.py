"""Each row of the fault matrix runs on Redis and on the embedded file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.redis_load import SAFE, left_over
from tests.faults.matrix import Matrix, rows_left
from tests.servers.redis_servers import RedisServer, redis_binary


@pytest.fixture(params=["redis", "sqlite"])
def matrix(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Matrix]:
    monkeypatch.delenv("SKIRRET_HOME")
    if request.param == "redis":
        server = RedisServer(redis_binary(), tmp_path / "redis", *SAFE)
        matrix = Matrix(tmp_path, server.url, lambda: left_over(server))
    else:
        file = tmp_path / ".skirret" / "queue.sqlite3"
        file.parent.mkdir(mode=0o700)
        matrix = Matrix(tmp_path, f"sqlite:///{file}", lambda: rows_left(file))
    yield matrix
    matrix.app.close()
    if request.param == "redis":
        server.stop()
