"""Annotations that name what is not there: allowed since Python 3.14, which evaluates them only when asked."""

# No `from __future__ import annotations` here: it would make text of them, which any Python leaves alone.
import sys
import textwrap

import pytest

from skirret.canvas import signature

pytestmark = pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")


def defined(app, text):
    """The names that a module of this text has; tasks are made with ``app``."""
    names = {"app": app, "__name__": "proj"}
    exec(compile(textwrap.dedent(text), "proj.py", "exec", dont_inherit=True), names)
    return names


def test_a_task_whose_annotations_are_for_type_checkers_alone_is_called_and_checked(app):
    add = defined(
        app,
        """
        @app.task
        def add(x: Missing, y: list[absent.Kind], *, scale: int = 1) -> Missing:
            return (x + y) * scale
        """,
    )["add"]
    assert add.delay(1, 2).id
    assert add.apply((1, 2), {"scale": 2}).get() == 6
    with pytest.raises(TypeError) as caught:
        add.delay(1)
    told = "takes (x: Missing, y: list[absent.Kind], *, scale: int = 1) -> Missing, but the call does not fit"
    assert told in str(caught.value)


def test_an_errback_with_such_annotations_is_told_the_error(app):
    names = defined(
        app,
        """
        heard = []

        @app.task
        def fail():
            raise ValueError("no")

        @app.task
        def told(request: Missing, exc: Missing, traceback: Missing) -> Missing:
            heard.append(repr(exc))
        """,
    )
    names["fail"].apply(link_error=signature(names["told"]))
    assert names["heard"] == ["ValueError('no')"]


def test_a_model_defined_below_its_task_is_found_at_the_call(app):
    names = defined(
        app,
        """
        from pydantic import BaseModel

        @app.task(pydantic=True)
        def double(order: Order, more: int = 0) -> Order:
            return Order(count=order.count * 2)

        class Order(BaseModel):
            count: int
        """,
    )
    assert names["double"].apply(({"count": 2},)).get() == {"count": 4}


def test_a_model_is_found_beside_an_annotation_that_is_not_there(app):
    names = defined(
        app,
        """
        from pydantic import BaseModel

        class Order(BaseModel):
            count: int

        @app.task(pydantic=True)
        def count(order: Order, user: Missing = None) -> int:
            return order.count
        """,
    )
    assert names["count"].apply(({"count": 2},)).get() == 2
