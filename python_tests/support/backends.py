"""The backends that can be tested here: which are installed, and why the others are not.

Imports chaussette, in this process, to ask what is installed; serving is done by the command.
"""

import importlib.util

#: Each backend with the module that it is made of, None for what is always there.
MODULES = {
    "interpreters": None,
    "wsgiref": None,
    "waitress": "waitress",
    "gevent": "gevent",
    "fastgevent": "gevent",
    "geventwebsocket": "geventwebsocket",
    "eventlet": "eventlet",
    "tornado": "tornado",
    "cheroot": "cheroot",
    "gunicorn": "gunicorn",
    "bjoern": "_bjoern",
}

#: Those that serve several sockets at once.
SEVERAL = ["wsgiref", "waitress", "gevent", "eventlet", "tornado", "gunicorn"]


def why_not(backend):
    """Why a backend cannot be tested here; None when it can."""
    module = MODULES[backend]
    if module is None or importlib.util.find_spec(module) is not None:
        return None
    cure = ".ci/install-bjoern" if backend == "bjoern" else "pip install --group test-backends"
    return f"NOT TESTED: no {module} here; cure: {cure}"
