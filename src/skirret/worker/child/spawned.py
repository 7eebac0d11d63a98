"""A child started afresh, for apps whose import leaves threads that make fork unsafe.

Run as ``python -m skirret.worker.child.spawned SOCKET PERMITS BOARD PARENT`` with its orders as JSON on standard input.
"""

from __future__ import annotations

import sys
import traceback

import msgspec

from skirret.worker.child.cooperation import patch_for
from skirret.worker.child.orders import Fork, Start
from skirret.worker.child.template import die_with_parent


def main() -> None:
    """Entry of a spawned child."""
    *ends, parent = (int(argument) for argument in sys.argv[1:5])
    die_with_parent(parent)
    code = 70
    try:
        start, order = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[Start, Fork])
        patch_for(order.pool)
        from skirret.worker.child.describe import load_app  # its locks are the hub's, if there is one
        from skirret.worker.child.process import run_child

        code = run_child(load_app(start.options, start.hostname), start, order, *ends)
    except BaseException:  # noqa: BLE001  threads of the app must not keep a child that failed
        traceback.print_exc()
    finally:
        from skirret.worker.child.process import leave

        leave(code)


if __name__ == "__main__":
    main()
