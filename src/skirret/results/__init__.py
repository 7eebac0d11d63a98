"""The handles that a caller holds of tasks it sent: to look at their states and to wait for their values."""

from skirret.results.async_result import AsyncResult
from skirret.results.eager import EagerResult
from skirret.results.group_result import GroupResult
from skirret.results.joining import (
    allow_join_result,
    assert_will_not_block,
    denied_join_result,
    task_join_will_block,
)
from skirret.results.reader import ResultReader
from skirret.results.result_set import ResultSet
from skirret.results.tuples import result_from_tuple, use

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultReader",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
    "task_join_will_block",
]

use(AsyncResult, GroupResult)
