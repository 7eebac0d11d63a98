"""Figures of this machine, measured through the public API; nothing here asserts a rate."""
