"""The fleet's app on Celery's side."""

from __future__ import annotations

import jobs
import settings
from celery import Celery

app = jobs.define(Celery("fleet", set_as_current=False), "theirs")
app.config_from_object(settings)
