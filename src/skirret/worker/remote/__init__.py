"""The worker's ear for remote commands: what is asked, what is done about it, and what is replied."""
