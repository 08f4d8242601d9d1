"""Django with a transaction for each request: what becomes of it when a view is interrupted. /rows tells."""

import django
from django.conf import settings
from django.core.signals import got_request_exception, request_finished
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a test",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "ATOMIC_REQUESTS": True}},
)
django.setup()

from django.db import connection, transaction  # noqa: E402

seen = []
got_request_exception.connect(lambda **kwargs: seen.append("got_request_exception"), weak=False)
request_finished.connect(lambda **kwargs: seen.append("request_finished"), weak=False)


@transaction.non_atomic_requests
def create(request):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (value INTEGER)")
    return JsonResponse({})


def spin(request):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO kept VALUES (1)")
    while True:
        try:
            raise ConnectionError
        except Exception:
            continue


def rows(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM kept")
        return JsonResponse({"rows": cursor.fetchone()[0], "in_atomic_block": connection.in_atomic_block, "seen": seen})


urlpatterns = [path("create", create), path("spin", spin), path("rows", rows)]
app = get_wsgi_application()
