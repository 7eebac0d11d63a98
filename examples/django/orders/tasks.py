"""What workers do for orders."""

from django.utils import timezone

from orders.models import Order
from skirret import shared_task


@shared_task(autoretry_for=(OSError,), retry_backoff=True)
def ship(number: int) -> str:
    """Pack an order and hand it to the carrier."""
    order = Order.objects.get(pk=number)
    order.shipped = timezone.now()
    order.save()
    return f"{order.item} is on its way"
