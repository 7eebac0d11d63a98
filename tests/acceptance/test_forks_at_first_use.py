"""A fork at the very moment when other threads of the parent use an app for the first time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.neighbours import Neighbours, neighbourhood

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PROGRAM = """
    import os, threading
    from tasks import add

    stop = threading.Event()
    failures = []

    def busy():
        n = 0
        while not stop.is_set():
            n += 1
            if add.delay(n, n).get(timeout=30) != 2 * n:
                failures.append(n)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if add.delay(20, 22).get(timeout=20) == 42 else 3)
            except BaseException:
                os._exit(4)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    print(codes, failures)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    with neighbourhood(tmp_path_factory.mktemp("first-use")) as place:
        yield place


@pytest.mark.parametrize("run", range(3))
def test_children_forked_while_threads_open_and_import_for_the_first_time_publish_and_wait(place, run):
    assert f"{[0] * 6} []" in place.run(PROGRAM).said
