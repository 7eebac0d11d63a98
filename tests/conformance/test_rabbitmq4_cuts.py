"""Lines to RabbitMQ 4 that are cut, as those to 3.10 in test_rabbitmq_cuts."""

from __future__ import annotations

import pytest

from tests.conformance.rabbitmq_cuts import OPERATIONS
from tests.conformance.test_rabbitmq_cuts import SIDES, edges, every_byte, run, scene

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]  # the first run installs another Debian

__all__ = ["scene"]


@pytest.fixture(scope="module")
def rabbitmq(rabbitmq4):
    return rabbitmq4


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_whose_line_is_cut_behind_any_byte_or_again_at_any_edge_loses_nothing(scene, name, side, times):
    run(scene, name, side, times, every_byte if times == 1 else edges)
