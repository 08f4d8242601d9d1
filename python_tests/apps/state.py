"""Counts its own requests in a module global: each interpreter has a count of its own."""

from apps.routes import answer

count = 0


def app(environ, start_response):
    global count
    count += 1
    return answer(start_response, {"interpreter": environ["chaussette.interpreter"], "count": count})
