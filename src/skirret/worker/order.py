"""How many messages are wanted: the loop orders, the thread that owns the consumer delivers, and neither waits."""

from __future__ import annotations


class Order:
    """One order at a time. Each number here has one writer, so that nothing is locked and the count is exact.

    An order counts from what the loop was told of: messages that are on their way to it are part of what it gets.
    """

    def __init__(self) -> None:
        self._placed = (0, 0)  # its number, and how many messages may have been taken in all; by the loop
        self._told = 0  # how many the loop was told of; by the loop
        self._taken = 0  # how many were taken; by the other thread
        self._closed = 0  # the last order that is answered for, though less came; by the other thread

    # -- the loop

    def place(self, count: int) -> None:
        """Want so many messages beside those that `tell` has told of; 0 wants nothing more."""
        self._placed = self._placed[0] + 1, self._told + count

    def tell(self, count: int) -> None:
        """So many of those that were taken are here."""
        self._told += count

    # -- the thread that delivers

    def open(self) -> tuple[int, int]:
        """The number of the order, and how many messages are missing from it."""
        number, goal = self._placed
        return number, 0 if number == self._closed else max(0, goal - self._taken)

    def deliver(self, number: int, count: int, *, whole: bool) -> None:
        """So many more were taken for an order; unless they are a `whole` portion, that answers it."""
        self._taken += count
        if not whole:
            self._closed = number
