"""The project. Its app is made with it, so that ``shared_task`` finds it in web server and worker alike."""

from shop.celery import app

__all__ = ["app"]
