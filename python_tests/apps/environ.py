"""Answers with its environ: the type and the text of each value, and the facts that PEP 3333 fixes about them."""

from apps.routes import answer


def app(environ, start_response):
    strings = {key: value for key, value in environ.items() if type(value) is str}
    return answer(
        start_response,
        {
            "environ_type": f"{type(environ).__module__}.{type(environ).__name__}",
            "types": {key: type(value).__name__ for key, value in environ.items()},
            "strings": strings,
            "above_latin_1": [key for key, text in strings.items() if any(ord(c) > 255 for c in key + text)],
            "key_types": sorted({type(key).__name__ for key in environ}),
            "version": repr(environ["wsgi.version"]),
            "flags": [
                environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once", "input_terminated")
            ],
            "interpreter": environ["chaussette.interpreter"],
            "methods": {
                "wsgi.input": [name for name in ("read", "readline", "readlines", "__iter__") if has(environ, name)],
                "wsgi.errors": [
                    name
                    for name in ("write", "writelines", "flush")
                    if callable(getattr(environ["wsgi.errors"], name, None))
                ],
            },
        },
    )


def has(environ, name):
    return callable(getattr(environ["wsgi.input"], name, None))
