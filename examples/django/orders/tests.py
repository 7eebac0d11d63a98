"""Tests of the shop: tasks run in place."""

from django.test import TestCase
from shop import app

from orders.models import Order


class OrderTests(TestCase):
    """Placing orders."""

    def setUp(self) -> None:
        """No worker is needed."""
        app.conf.task_always_eager = True

    def test_an_order_is_shipped_when_it_is_committed(self) -> None:
        """Not before."""
        with self.captureOnCommitCallbacks() as callbacks:
            answer = self.client.post("/orders/", {"item": "root"})
        assert answer.status_code == 201
        order = Order.objects.get(pk=answer.json()["number"])
        assert order.shipped is None
        for callback in callbacks:
            callback()
        assert self.client.get(f"/orders/{order.pk}/").json()["shipped"] is not None
