"""What the library shows: an uploaded file, a streamed list, a page that ConditionalGetMiddleware gives an ETag."""

from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from apps.library.models import Document


def document(request, pk):
    return FileResponse(get_object_or_404(Document, pk=pk).file.open("rb"))


def titles(request):
    return StreamingHttpResponse(f"{title}\n" for title in Document.objects.values_list("title", flat=True))


def page(request):
    return HttpResponse("the same page each time\n" * 100, content_type="text/plain")
