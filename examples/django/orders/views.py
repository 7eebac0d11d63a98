"""Pages about orders."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from orders.models import Order
from orders.tasks import ship


@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Take an order. It is shipped once it is committed."""
    with transaction.atomic():
        order = Order.objects.create(item=request.POST["item"])
        ship.delay_on_commit(order.pk)
    return JsonResponse({"number": order.pk}, status=201)


@require_GET
def show(request: HttpRequest, number: int) -> JsonResponse:
    """Tell what became of an order."""
    order = get_object_or_404(Order, pk=number)
    return JsonResponse({"item": order.item, "shipped": order.shipped})
