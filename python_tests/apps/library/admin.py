"""The library in Django's admin."""

from apps.library.models import Document
from django.contrib import admin

admin.site.register(Document)
