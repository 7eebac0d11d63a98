"""Every feature of the worker on every pool: it works, or it is refused in words; `docs/pools.md` says the same.

pytest tests/pools --write-pools-page    # writes the page anew from what the tests show
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pools import fates, limits, looking, steering  # noqa: F401  they register the features
from tests.pools.catalogue import FEATURES, PAGE, WORKS, rewrite, written
from tests.pools.lanes import Cell, Lanes
from tests.pools.stage import POOLS, WORKERS

LONGEST = 240.0
"""Seconds that a lane may take in all on a busy machine."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST + 30)]

CELLS = [(pool, one.name) for kind in WORKERS for one in FEATURES.values() if one.worker == kind for pool in POOLS]

Shown = dict[tuple[str, str], str | None]


@pytest.fixture(scope="module")
def lanes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    """The pools on trial, for the cells of this run."""
    mine = [item for item in request.session.items if "lanes" in getattr(item, "fixturenames", ())]
    cells: list[Cell] = [(item.callspec.params["pool"], item.callspec.params["name"]) for item in mine]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SKIRRET_HOME", raising=False)
        lanes = Lanes(cells, tmp_path_factory.mktemp("pools"))
        yield lanes
        lanes.close()


@pytest.fixture(scope="module")
def shown(request: pytest.FixtureRequest) -> Iterator[Shown]:
    """What the tests show; written to the page in the end, if that was asked for; the rest stays."""
    found: Shown = {}
    yield found
    if request.config.getoption("write_pools_page"):
        rewrite(found)


@pytest.mark.parametrize("pool, name", CELLS)
def test_each_feature_works_or_is_refused_as_the_page_says(
    pool: str, name: str, lanes: Lanes, shown: Shown, request: pytest.FixtureRequest
) -> None:
    feature = FEATURES[name]
    refusal = lanes.shown((pool, name), LONGEST)
    assert (refusal is None) is (feature.cell(pool) == WORKS), refusal
    shown[name, pool] = refusal
    if not request.config.getoption("write_pools_page"):
        cells, said = written(PAGE.read_text(encoding="utf-8"))
        assert cells[feature.words, pool] == feature.cell(pool)
        assert said.get((feature.words, pool)) == refusal


def test_the_page_has_a_row_for_each_feature_and_no_other(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("write_pools_page"):
        cells, said = written(PAGE.read_text(encoding="utf-8"))
        assert set(cells) == {(feature.words, pool) for feature in FEATURES.values() for pool in POOLS}
        assert set(said) == {place for place, cell in cells.items() if cell != WORKS}


def test_no_pool_but_solo_refuses_anything() -> None:
    assert {pool for feature in FEATURES.values() for pool in feature.refusing | feature.otherwise} == {"solo"}
