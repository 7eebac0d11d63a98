"""What workers share beside messages: the seam, and one room for each kind of server behind it."""
