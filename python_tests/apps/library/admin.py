"""The library in Django's admin."""

from django.contrib import admin

from apps.library.models import Document

admin.site.register(Document)
