"""Tells Django about the guestbook."""

from django.apps import AppConfig


class GuestbookConfig(AppConfig):
    name = "guestbook"
