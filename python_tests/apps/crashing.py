"""Crashes while it is imported, as a broken extension does."""

import ctypes
import resource

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
ctypes.string_at(0)
