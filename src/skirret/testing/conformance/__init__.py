"""The public exam: what every broker, result backend and coordination must do, ours and third parties'.

Needs pytest and hypothesis. Sit it by subclassing and overriding fixtures, in an ordinary test file:

    from skirret.testing.conformance import BackendExam, BrokerExam, CoordinationExam

    class TestMyBroker(BrokerExam):
        @pytest.fixture
        def broker(self, tmp_path):          # a fresh, empty server for each test
            broker = MyBroker(tmp_path / "queue")
            yield broker
            broker.close()

        @pytest.fixture
        def second_broker(self, broker, tmp_path):   # another client of the same server
            ...

        @pytest.fixture
        def backend(self, broker, tmp_path):         # the result store with the same identity, if the broker
            ...                                      # declares `settles_results`

        @pytest.fixture
        def outage(self, broker):                    # a function that gives a context manager: while it is entered,
            ...                                      # the server cannot be reached by these clients

    class TestMyBackend(BackendExam):                # fixtures: backend, second_backend, outage
        ...

    class TestMyCoordination(CoordinationExam):      # fixtures: coordination, second_coordination, outage
        ...

What else may be overridden is told in `broker_fixtures.BrokerFixtures`: `vanish` and `outwait` (methods), for servers
whose leases do not run on ``Limits.clock``, and the numbers `quiet`, `patience`, `examples` and `steps`.

A test skips only where the broker declares the lack in its `capabilities`, or the backend that it is not `shared`, and
the few that need `outage` where that fixture was not given. Test names are the promises.
"""

from __future__ import annotations

import pytest

# Before they are imported, so that a failing promise shows its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{room}"
        for room in (
            "backend",
            "broker_broadcasts",
            "broker_delays",
            "broker_histories",
            "broker_history",
            "broker_leases",
            "broker_listings",
            "broker_fixtures",
            "broker_publishing",
            "broker_results",
            "broker_settling",
            "broker_taking",
            "coordination",
            "material",
        )
    )
)

from skirret.testing.conformance.backend import BackendExam  # noqa: E402
from skirret.testing.conformance.broker import BrokerExam  # noqa: E402
from skirret.testing.conformance.coordination import CoordinationExam  # noqa: E402
from skirret.testing.conformance.material import HandClock  # noqa: E402

__all__ = ["BackendExam", "BrokerExam", "CoordinationExam", "HandClock"]
