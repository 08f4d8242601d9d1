"""Says goodbye on stdout when its interpreter ends, without flushing by itself."""

import atexit

from apps.routes import answer

number = None


@atexit.register
def goodbye():
    print(f"goodbye from {number}")


def app(environ, start_response):
    global number
    number = environ["chaussette.interpreter"]
    print(f"hello from {number}")
    return answer(start_response, {"interpreter": number})
