"""Imports a module that is not there."""

import apps.not_there_at_all  # noqa: F401
