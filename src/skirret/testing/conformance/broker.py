"""The whole exam for brokers."""

from __future__ import annotations

from skirret.testing.conformance.broker_broadcasts import BroadcastPromises
from skirret.testing.conformance.broker_delays import DelayPromises
from skirret.testing.conformance.broker_histories import HistoryPromises
from skirret.testing.conformance.broker_leases import LeasePromises
from skirret.testing.conformance.broker_listings import ListingPromises
from skirret.testing.conformance.broker_publishing import PublishingPromises
from skirret.testing.conformance.broker_races import RacePromises
from skirret.testing.conformance.broker_results import SettledResultPromises
from skirret.testing.conformance.broker_settling import SettlingPromises
from skirret.testing.conformance.broker_taking import TakingPromises


class BrokerExam(
    PublishingPromises,
    DelayPromises,
    TakingPromises,
    SettlingPromises,
    SettledResultPromises,
    LeasePromises,
    RacePromises,
    ListingPromises,
    BroadcastPromises,
    HistoryPromises,
):
    """Subclass as ``TestMyBroker``, override the fixtures of `BrokerFixtures`, and let pytest run it."""
