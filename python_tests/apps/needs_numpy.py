"""Needs numpy, whose C extension refuses every interpreter but the main one."""

from apps import needs_numpy_inside
from apps.routes import answer


def app(environ, start_response):
    return answer(start_response, {"sum": needs_numpy_inside.total(), "interpreter": environ["chaussette.interpreter"]})
