from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("author", models.CharField(max_length=80)),
                ("text", models.TextField(max_length=1000)),
                ("interpreter", models.IntegerField(editable=False, null=True)),
                ("written", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ["-written", "-pk"], "verbose_name_plural": "entries"},
        ),
    ]
