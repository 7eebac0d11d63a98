"""What is stored of an order."""

from django.db import models


class Order(models.Model):
    """Something that somebody wants."""

    item = models.CharField(max_length=100)
    placed = models.DateTimeField(auto_now_add=True)
    shipped = models.DateTimeField(null=True)

    def __str__(self) -> str:
        """For people."""
        return f"{self.pk}: {self.item}"
