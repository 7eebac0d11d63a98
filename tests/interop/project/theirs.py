"""The fleet's app on Celery's side."""

from __future__ import annotations

import os

import jobs
import settings
from celery import Celery

app = jobs.define(Celery("fleet", set_as_current=False), "theirs")
app.config_from_object(settings)
if "FLEET_VISIBILITY" in os.environ:  # seconds: what a killed worker of Celery's held comes back after them
    app.conf.update(
        task_acks_late=True, broker_transport_options={"visibility_timeout": int(os.environ["FLEET_VISIBILITY"])}
    )
