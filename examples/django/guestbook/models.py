"""What the guestbook keeps."""

from django.db import models


class Entry(models.Model):
    author = models.CharField(max_length=80)
    text = models.TextField(max_length=1000)
    # Which of the server's interpreters wrote it; none under another server.
    interpreter = models.IntegerField(null=True, editable=False)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-written", "-pk"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.author}, {self.written:%Y-%m-%d %H:%M}"
