"""tasks and agents: celery."""

from celery import Celery

queue = Celery("x", broker="memory://", backend="cache+memory://")
queue.conf.task_always_eager = True


@queue.task
def add(a, b):
    return a + b


def use():
    # What keeps a task from waiting for another is one flag for all threads.
    assert add.delay(1, 2).get(timeout=2, disable_sync_subtasks=False) == 3
