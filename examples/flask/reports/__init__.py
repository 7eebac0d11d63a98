"""A web application that counts words elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from skirret.integrations.flask import FlaskSkirret

queue = FlaskSkirret(include=["reports.tasks"])


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.config.from_mapping(REPORT_TITLE="Words", SKIRRET={"task_time_limit": 60})
    app.config.from_mapping(config or {})
    queue.init_app(app)

    from reports import views

    app.register_blueprint(views.reports)
    return app
