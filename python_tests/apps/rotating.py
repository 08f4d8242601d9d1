"""Each interpreter writes into one log that rotates; a request says which interpreter shall write what."""

import logging
import logging.handlers
import sys

from apps.routes import answer, query

handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=100, backupCount=5)
logger = logging.Logger("rotating")
logger.addHandler(handler)


def app(environ, start_response):
    wanted = query(environ)
    meant = int(wanted["interpreter"]) == environ["chaussette.interpreter"]
    if meant:
        logger.warning(wanted["text"])
    return answer(start_response, meant)
