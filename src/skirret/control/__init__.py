"""Asking and steering workers from afar: the catalogue of commands, the mailbox that asks, ``app.control``."""
