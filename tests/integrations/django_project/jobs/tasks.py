import os

from django.db import connection
from django.db.backends.signals import connection_created

from skirret import shared_task

opened = []
connection_created.connect(lambda **_: opened.append(os.getpid()), weak=False)
with connection.cursor() as cursor:  # as a careless module does at its import
    cursor.execute("SELECT 1")


def query():
    """Whether the connection was open before; the process; how often this process has opened one."""
    before = connection.connection is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return [before, os.getpid(), opened.count(os.getpid())]


@shared_task
def ask():
    return query()


@shared_task
async def aask():
    from asgiref.sync import sync_to_async

    return await sync_to_async(query)()


@shared_task(bind=True)
def who(self):
    return [type(self).__mro__[1].__name__, self.app.conf.task_soft_time_limit, self.app.now().utcoffset().seconds]
