"""The fleet's app on our side."""

from __future__ import annotations

import jobs
import settings

from skirret import Skirret

app = jobs.define(Skirret("fleet", set_as_current=False), "ours")
app.config_from_object(settings)
