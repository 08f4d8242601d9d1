"""gunicorn's configuration: a line when a worker has loaded the application and begins to serve.

gunicorn's own "Booting worker" comes before the application is loaded. Seen with --log-level info only.
"""

from typing import Any

BOOTED = "worker has loaded the application"


def post_worker_init(worker: Any) -> None:
    worker.log.info(BOOTED)
