import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "x"
INSTALLED_APPS = ["jobs.apps.JobsConfig", "skirret.integrations.django"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        "CONN_MAX_AGE": int(os.environ.get("MAX_AGE", "0")),
    }
}
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True
CELERY_TASK_DEFAULT_QUEUE = "from-celery"
CELERY_TASK_SOFT_TIME_LIMIT = 50
SKIRRET_TASK_SOFT_TIME_LIMIT = 40
TASKS = {"default": {"BACKEND": "skirret.integrations.django.SkirretBackend", "QUEUES": ["default", "other"]}}
