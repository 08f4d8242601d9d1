"""A Django project as people have them: the admin, sqlite, uploads, static files through WhiteNoise.

Reads its folder, for the database, the uploads and the collected static files, from LIBRARY.
"""
