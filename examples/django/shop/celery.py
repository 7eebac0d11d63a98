"""The project's task queue."""

import os

from skirret import Skirret

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Skirret("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
