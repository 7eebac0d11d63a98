"""pydantic=True: models travel as plain values and arrive as models."""

from __future__ import annotations

import datetime as dt

import pydantic
import pytest

from skirret.errors import EncodeError
from tests.unit.app.conftest import only


class Order(pydantic.BaseModel):
    number: int
    placed: dt.date = dt.date(2030, 1, 1)


SEEN: dict = {}


class Checked(pydantic.BaseModel):
    number: int
    note: str | None = None

    @pydantic.field_validator("number")
    @classmethod
    def look(cls, value, info):
        SEEN.update(info.context or {})
        return value


class Receipt(pydantic.BaseModel):
    total: int


def test_a_model_is_sent_plain_and_arrives_as_a_model(app):
    @app.task(pydantic=True)
    def bill(order: Order, extra: Order | None = None, plain: dict | None = None) -> Receipt:
        assert isinstance(order, Order)
        assert extra is None or isinstance(extra, Order)
        assert plain is None or isinstance(plain, dict)
        return Receipt(total=order.number * 2)

    bill.delay(Order(number=2))
    assert list(only(app).args) == [{"number": 2, "placed": "2030-01-01"}]
    assert bill.apply((Order(number=2),), {"extra": Order(number=1), "plain": {"a": 1}}).get() == {"total": 4}
    assert bill.apply(({"number": 3},)).get() == {"total": 6}


def test_a_value_that_the_model_refuses_is_a_failure(app):
    @app.task(pydantic=True)
    def bill(order: Order) -> int:
        return order.number

    assert isinstance(bill.apply(({"number": "many"},)).result, pydantic.ValidationError)
    assert bill.apply(({"number": "5"},)).get() == 5


def test_strict_context_dump_options_and_bound_tasks(app):
    @app.task(
        bind=True, name="strict", pydantic=True, pydantic_strict=True, pydantic_context={"mine": 1},
        pydantic_dump_kwargs={"exclude_none": True},
    )  # fmt: skip
    def strict(self, order: Checked) -> Checked:
        return order

    assert strict.apply((Checked(number=1),)).get() == {"number": 1}
    assert (SEEN["mine"], SEEN["celery_app"], SEEN["celery_task_name"]) == (1, app, "strict")
    assert strict.apply(({"number": "1"},)).failed()


def test_an_async_task_has_models_too(app):
    @app.task(pydantic=True)
    async def bill(order: Order) -> Receipt:
        return Receipt(total=order.number)

    assert bill.is_async
    assert bill.apply((Order(number=7),)).get() == {"total": 7}


def test_a_return_value_that_is_not_annotated_as_its_model_is_left_as_it_is(app):
    @app.task(pydantic=True)
    def bill(order: Order):
        return order

    with pytest.raises(EncodeError, match="Order"):
        bill.apply((Order(number=7),)).get()


def test_without_pydantic_a_model_is_refused_at_the_call(app):
    with pytest.raises(EncodeError):
        app.task(lambda order: 1).delay(Order(number=1))
