"""One tiny WSGI application per behaviour."""
