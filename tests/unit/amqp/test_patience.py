"""What is said of tasks that run for longer than RabbitMQ lets a worker hold their messages."""

from __future__ import annotations

import pytest

from skirret.brokers.amqp import patience
from skirret.brokers.amqp.options import Options
from skirret.stores.amqp.faults import Refused, in_words


@pytest.mark.parametrize(
    "options, version, seconds",
    [
        pytest.param(Options(), (3, 10, 8), 1800.0, id="too-old-to-heed-a-queue"),
        pytest.param(Options(), (3, 11, 15), 86_400.0, id="the-first-that-heeds-it"),
        pytest.param(Options(), (3, 12, 0), 86_400.0, id="the-next-line-of-versions"),
        pytest.param(Options(like_celery=True), (4, 0, 5), 1800.0, id="celerys-queues-ask-for-nothing"),
        pytest.param(Options(consumer_timeout=7200.0), (3, 10, 8), 7200.0, id="told"),
        pytest.param(Options(like_celery=True, consumer_timeout=60.0), (4, 0, 5), 60.0, id="told-of-celerys-queues"),
    ],
)
def test_what_the_operator_says_counts_and_else_what_is_likely(options, version, seconds):
    assert patience.known(options, version) == seconds


def test_queues_ask_for_a_day_or_for_what_they_are_told():
    assert patience.asked(Options()) == 86_400_000
    assert patience.asked(Options(consumer_timeout=90.0)) == 90_000


@pytest.mark.parametrize(
    "longest, is_told", [(None, False), (1740.0, False), (1741.0, True), (1800.0, True), (7200.0, True)]
)
def test_only_a_limit_that_is_too_long_is_told_of(longest, is_told):
    told = patience.caution(longest, 1800.0)
    assert (told is not None) == is_told
    assert not told or f"{longest:g} s" in told


def test_the_end_of_the_servers_patience_is_not_told_as_a_queue_of_other_arguments():
    text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms."
    assert "raise it" in str(in_words(Refused(406, text), "RabbitMQ"))
    assert "other arguments" in str(in_words(Refused(406, "inequivalent arg 'x-max-priority'"), "RabbitMQ"))
