"""Extensions by Celery's module names: tasks that can be asked to stop."""
