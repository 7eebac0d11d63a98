"""Hooks around publishing and running, as no-ops with contracts; empty until metrics and tracing need it."""
