"""A PasteDeploy application factory: says the setting that its ini file gave it."""

from apps.routes import answer


def factory(global_conf, **settings):
    def app(environ, start_response):
        return answer(start_response, {"word": settings.get("word"), "here": global_conf.get("here")})

    return app


def marking(app, global_conf, **settings):
    return app
