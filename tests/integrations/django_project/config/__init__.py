"""A project that makes no app of its own."""
