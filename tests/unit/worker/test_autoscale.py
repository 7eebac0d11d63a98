"""How large a pool is to be: it grows with its load at once and shrinks when it was larger for a while."""

from __future__ import annotations

import pytest

from skirret.worker.autoscale import Autoscaler, keepalive, wanted
from skirret.worker.dispatch import Dispatcher
from skirret.worker.durations import Durations
from skirret.worker.loop import Loop


@pytest.mark.parametrize(
    "size, load, idle, new",
    [
        (3, 0, False, 3), (3, 2, False, 3), (3, 3, False, 6), (3, 9, False, 9), (6, 6, False, 10), (3, 50, False, 10),
        (10, 10, False, 10), (8, 2, True, 3), (8, 7, True, 8), (8, 0, True, 3), (3, 0, True, 3), (8, 5, True, 6),
    ],
)  # fmt: skip
def test_a_pool_between_3_and_10(size, load, idle, new):
    assert wanted(size, load, 3, 10, idle=idle) == new


class Pool:
    """Stands for a pool."""

    def __init__(self, size: int) -> None:
        self.children = []
        self.size = size

    def resize(self, size: int) -> None:
        self.size = size


@pytest.fixture
def scaler():
    loop = Loop()
    scaler = Autoscaler(loop, Dispatcher(Durations()))
    scaler.pool = Pool(4)
    yield scaler
    loop.close()


def test_bounds_hold_at_once(scaler):
    scaler.between(6, 8)
    assert scaler.pool.size == 6
    scaler.between(1, 2)
    assert scaler.pool.size == 2


@pytest.mark.parametrize("fewest, most", [(0, 3), (4, 3), (-1, -1)])
def test_wrong_bounds_are_refused(scaler, fewest, most):
    with pytest.raises(ValueError, match="cannot scale between"):
        scaler.between(fewest, most)
    assert scaler.pool.size == 4


def test_growing_by_hand_moves_the_bounds(scaler):
    scaler.between(2, 4)
    assert scaler.by_hand(2) == 6
    assert (scaler.fewest, scaler.most) == (2, 6)
    assert scaler.by_hand(-5) == 1
    assert (scaler.fewest, scaler.most) == (1, 6)
    with pytest.raises(ValueError, match="cannot shrink"):
        scaler.by_hand(-1)


@pytest.mark.parametrize("text, seconds", [("5", 5.0), ("", 30.0), ("soon", 30.0), ("-1", 0.0)])
def test_the_keepalive_is_read_from_the_environment(monkeypatch, text, seconds):
    monkeypatch.setenv("AUTOSCALE_KEEPALIVE", text)
    assert keepalive() == seconds
