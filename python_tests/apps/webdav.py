"""WsgiDAV on the folder DAV_ROOT. It keeps locks and dead properties in its interpreter's memory."""

import logging
import os

from wsgidav.wsgidav_app import WsgiDAVApp

# At its default level WsgiDAV reports each refusal that litmus provokes.
logging.getLogger("wsgidav").setLevel(logging.ERROR)

app = WsgiDAVApp(
    {
        "provider_mapping": {"/": os.environ["DAV_ROOT"]},
        "simple_dc": {"user_mapping": {"*": True}},
        "lock_storage": True,
        "property_manager": True,
        "verbose": 1,
    }
)
