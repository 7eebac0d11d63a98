"""The promise over all others: whatever happens in whatever order, nothing is lost, repeated or miscounted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from skirret.brokers.base import Broker
from skirret.testing.conformance.broker_fixtures import BrokerFixtures
from skirret.testing.conformance.broker_history import History
from skirret.testing.conformance.material import HandClock


class HistoryPromises(BrokerFixtures):
    """Random histories against a model."""

    def test_no_history_breaks_a_promise(
        self, request: pytest.FixtureRequest, broker: Broker, second_broker: Broker, clock: HandClock
    ) -> None:
        backend = request.getfixturevalue("backend") if broker.capabilities.settles_results else None
        exam = self

        class ThisHistory(History):
            def __init__(self) -> None:
                super().__init__(exam, (broker, second_broker), backend, clock)

        run_state_machine_as_test(
            ThisHistory,
            settings=settings(
                max_examples=self.examples,
                stateful_step_count=self.steps,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
            ),
        )
