"""The app that Flower runs with: Celery's current one, because Flower asks for results without naming an app."""

from __future__ import annotations

import jobs
import settings
from celery import Celery

app = jobs.define(Celery("watch"), "theirs")
app.config_from_object(settings)
