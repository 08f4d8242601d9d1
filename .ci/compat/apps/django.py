"""framework: django."""

from django.conf import settings

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="not a secret",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)

from django.core.wsgi import get_wsgi_application  # noqa: E402 (it needs the settings)
from django.db import connection  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402


def index(request):
    with connection.cursor() as cursor:
        cursor.execute("select 'hel' || 'lo'")
        (word,) = cursor.fetchone()
    return HttpResponse(engines["django"].from_string("{{ word }}").render({"word": word}))


urlpatterns = [path("", index)]
app = get_wsgi_application()
