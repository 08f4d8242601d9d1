"""What the library keeps."""

from django.db import models


class Document(models.Model):
    title = models.CharField(max_length=80)
    file = models.FileField()

    def __str__(self):
        return self.title
