"""Skirret in the programs of web frameworks: Django, Flask, FastAPI. Each is imported only by those who use it."""
