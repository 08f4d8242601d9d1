"""Django in one file: URLs, a template, a model on sqlite, a form and a streamed answer."""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="a secret for the tests",
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", ":memory:")}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

from django.contrib.auth.models import Group  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402


def index(request):
    template = engines["django"].from_string("hello {{ name }}")
    return HttpResponse(template.render({"name": request.GET.get("name", "nobody")}))


def groups(request):
    if request.method == "POST":
        Group.objects.create(name=request.POST["name"])
    names = list(Group.objects.order_by("name").values_list("name", flat=True))
    return JsonResponse({"groups": names, "interpreter": request.META["chaussette.interpreter"]})


def stream(request):
    return StreamingHttpResponse(f"line {n}\n" for n in range(100))


urlpatterns = [path("", index), path("groups", groups), path("stream", stream)]
call_command("migrate", verbosity=0)
app = WSGIHandler()
