"""Leaves while it is imported."""

import sys

sys.exit("leaving on import")
