import os

from django.apps import AppConfig
from django.core import checks


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self):
        if os.environ.get("UNSOUND"):
            checks.register(lambda **_: [checks.Error("the roof leaks", id="jobs.E001")])
