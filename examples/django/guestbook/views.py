"""The guestbook's page: read what is there, write an entry."""

from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from guestbook.models import Entry

SHOWN = 20


class EntryForm(ModelForm):
    class Meta:
        model = Entry
        fields = ["author", "text"]


@require_http_methods(["GET", "HEAD", "POST"])
def front_page(request: HttpRequest) -> HttpResponse:
    interpreter = request.META.get("chaussette.interpreter")
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        entry = form.save(commit=False)
        entry.interpreter = interpreter
        entry.save()
        return redirect("front-page")
    page = {
        "form": form,
        "entries": Entry.objects.all()[:SHOWN],
        "count": Entry.objects.count(),
        "interpreter": interpreter,
    }
    return render(request, "guestbook/front_page.html", page, status=400 if form.errors else 200)
