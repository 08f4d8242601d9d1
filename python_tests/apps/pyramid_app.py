"""A Pyramid application: its settings, where it runs, and a line in the log of its own."""

import logging

import chaussette
from pyramid.config import Configurator
from pyramid.view import view_config

log = logging.getLogger("site_of_pyramid")


@view_config(route_name="home", renderer="json")
def home(request):
    log.info("visited in %s", chaussette.interpreter_id())
    return {"word": request.registry.settings.get("word"), "interpreter": chaussette.interpreter_id()}


def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.scan(__name__)
        return config.make_wsgi_app()
