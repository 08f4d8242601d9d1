"""The guestbook in Django's admin."""

from django.contrib import admin

from guestbook.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ["author", "written", "interpreter"]
    search_fields = ["author", "text"]
