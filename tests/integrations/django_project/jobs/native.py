"""Django's own tasks."""

try:
    from django.tasks import task
except ModuleNotFoundError:
    from django_tasks import task


@task
def add(x, y):
    return x + y


@task(queue_name="other", priority=50)
async def aadd(x, y):
    return x + y


@task(takes_context=True)
def attempt(context, word):
    return [word, context.attempt, context.task_result.id]


@task
def fail(text):
    raise LookupError(text)
