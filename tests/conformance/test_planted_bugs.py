"""The exam itself is examined: each planted bug turns the promises red that speak of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLANTED = Path(__file__).with_name("planted.py")
HISTORY = "test_no_history_breaks_a_promise"

# The bug -> the promises that it must break. A parametrised promise is broken if one of its cases is.
BREAKS = {
    "PopThenRemember": [HISTORY, "test_the_work_of_a_vanished_consumer_comes_back_counted"],
    "TwoStepTake": ["test_many_takers_at_once_share_without_loss_or_double"],
    "PriorityIgnored": [HISTORY, "test_the_highest_priority_comes_first"],
    "PriorityUpsideDown": [HISTORY, "test_an_urgent_message_overtakes_what_waits"],
    "FirstQueueStarvesTheOthers": ["test_queues_take_turns", "test_each_queue_gets_its_share_of_a_batch"],
    "DueTimesIgnored": [HISTORY, "test_a_delayed_message_is_not_delivered_before_its_time"],
    "SleepsInsteadOfWaiting": ["test_publishing_wakes_a_waiting_take"],
    "InterruptOnlyWakes": ["test_an_interrupt_that_comes_early_is_not_lost"],
    "NoDedup": [HISTORY, "test_a_nonce_is_stored_once", "test_repeating_a_call_adds_only_what_was_missing"],
    "DedupByTaskId": ["test_a_task_id_that_is_sent_again_is_a_new_message"],
    "DedupWithinACall": ["test_the_publications_of_one_call_may_share_a_nonce"],
    "SwallowedPublishError": ["test_a_publication_that_cannot_be_confirmed_raises"],
    "ExpiredDropped": ["test_an_expired_message_is_still_delivered_for_the_worker_decides"],
    "AckBeforeTheRest": ["test_a_batch_that_cannot_be_written_changes_nothing"],
    "NoFence": [
        HISTORY,
        "test_nothing_of_a_fenced_settlement_is_written",
        "test_no_result_of_a_fenced_settlement_is_written",
        "test_what_was_not_held_leaves_no_successor",
    ],
    "ResultBeforeTheFence": [HISTORY, "test_no_result_of_a_fenced_settlement_is_written"],
    "ReleaseCounts": [HISTORY, "test_a_released_message_is_taken_again_first_and_uncounted"],
    "ReleaseGoesToTheEnd": ["test_a_released_message_is_taken_again_first_and_uncounted"],
    "FirstGoesToTheEnd": ["test_one_that_is_to_be_the_first_goes_to_the_front"],
    "RetryLeavesTheOldOne": [HISTORY, "test_a_retry_replaces_the_message"],
    "RetryDeduplicated": ["test_a_retry_is_never_mistaken_for_a_repetition"],
    "DeferNeverCounts": [HISTORY, "test_a_deferred_message_is_counted_as_it_says"],
    "DeleteBeforeCopy": ["test_each_message_comes_back_to_its_home_queue_by_name"],
    "ReapsToTheWrongQueue": [
        HISTORY,
        "test_each_message_comes_back_to_its_home_queue_by_name",
        "test_work_goes_home_though_its_consumer_had_left_the_queue",
    ],
    "ReapReencodes": ["test_the_work_of_a_vanished_consumer_comes_back_counted"],
    "NoCapOnPoison": [HISTORY, "test_at_the_limit_of_deliveries_a_message_is_dead"],
    "ReapUncounted": [HISTORY, "test_every_take_over_is_counted"],
    "ZombieRevived": [HISTORY, "test_a_fenced_consumer_stays_fenced"],
    "WallClockLease": ["test_a_jump_of_the_wall_clock_takes_nothing_over"],
    "SleepingReaperCountsItsSleep": ["test_a_reaper_that_slept_has_seen_nothing_meanwhile"],
    "ReapsWhoBeats": [HISTORY, "test_who_beats_is_never_taken_over"],
    "CloseForgetsWhatIsHeld": [HISTORY, "test_closing_releases_what_is_held_uncounted"],
    "PeekTakes": ["test_peek_shows_the_next_messages_and_leaves_them"],
    "PurgeForgetsDelayed": [HISTORY, "test_a_purge_drops_what_waits_and_says_how_many"],
    "ReplayKeepsCounters": ["test_replayed_letters_go_home_with_fresh_counters"],
    "BroadcastToOne": ["test_a_broadcast_reaches_all_who_listen"],
    "LastWriterWins": ["test_a_state_gives_way_only_to_one_that_supersedes_it"],
    "LookThenWrite": ["test_of_many_writers_at_once_one_wins"],
    "ResultsNeverEnd": ["test_a_result_ends_with_its_life"],
    "WaitEndsTooSoon": ["test_waiting_ends_with_a_ready_state_and_no_other"],
    "RoomForOneMore": [
        "test_a_crowd_gets_no_more_places_than_there_are",
        "test_a_set_lets_in_as_many_as_it_has_room_for_in_their_order",
    ],
    "LookThenSet": ["test_of_many_setters_at_once_one_wins"],
    "ReleasedByAnybody": ["test_a_lease_has_one_owner"],
    "CounterRenewed": ["test_a_counter_ends_from_when_it_was_made"],
    "RefusalTakes": ["test_a_refusal_takes_nothing_and_tells_the_wait"],
    "OneLifeForTheSet": ["test_each_member_has_its_own_life"],
}

# Promises of brokers: what has no bug planted keeps them all, under the same short patience.
SOUND = sorted({promise for bug in list(BREAKS)[: list(BREAKS).index("LastWriterWins")] for promise in BREAKS[bug]})


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Bug -> promise -> what the exam said, for one run of the promises above over the planted bugs."""
    report = tmp_path_factory.mktemp("planted") / "report.xml"
    tests = [f"{PLANTED}::Test{bug}::{promise}" for bug, promises in BREAKS.items() for promise in promises]
    tests += [f"{PLANTED}::TestSound::{promise}" for promise in SOUND]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", f"--junitxml={report}"]
    run = subprocess.run(
        [*command, *tests],
        cwd=PLANTED.parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"the run over the planted bugs went wrong:\n{run.stdout}\n{run.stderr}"
    said: dict[str, dict[str, list[str]]] = {}
    for case in ET.parse(report).iter("testcase"):
        bug = case.attrib["classname"].rpartition(".Test")[2]
        promise = case.attrib["name"].partition("[")[0]
        outcomes = [f"{child.tag}: {child.attrib.get('message', '')}" for child in case]
        said.setdefault(bug, {}).setdefault(promise, []).extend(outcomes)
    return said


@pytest.mark.parametrize("bug,promise", [(bug, promise) for bug, promises in BREAKS.items() for promise in promises])
def test_a_planted_bug_turns_its_promise_red(verdicts, bug, promise):
    said = verdicts[bug][promise]
    assert said, f"the exam did not see {bug}: {promise} stayed green"
    # Red for the reason planted: an assertion, not a mistake in the planting.
    assert all(one.startswith(("failure: AssertionError", "failure: Failed", "failure: assert")) for one in said), said


@pytest.mark.parametrize("promise", SOUND)
def test_what_has_no_bug_keeps_its_promise(verdicts, promise):
    assert verdicts["Sound"][promise] == []
