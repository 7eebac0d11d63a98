"""Message servers: the seam that the rest of Skirret sees, and one room for each kind of server behind it."""
