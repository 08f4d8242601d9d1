"""Each sentence of Chaussette 1.3's documentation (README.rst, docs/source/index.rst), and what becomes of it.

A sentence is followed by the test that holds it, by MIGRATION where docs/migration.md tells why it is different, or by
OTHERS where it is no sentence about what Chaussette does: headings, links, what Circus and Supervisor are.
"""

import re

MIGRATION, OTHERS = "docs/migration.md", "others"


def prose(text):
    """The sentences of a document in reStructuredText; headings and items of lists are some, too."""
    sentences, in_code = [], False
    for block in re.split(r"\n\s*\n", text):
        first = block.lstrip("\n")
        if first.startswith(".. "):
            in_code = first.startswith(".. code-block")
            continue
        if first.startswith("    ") or (in_code and first.startswith((" ", "\t"))):
            continue
        in_code = False
        block = re.sub(r"^[=~-]{4,}$", "", block, flags=re.MULTILINE)
        block = re.sub(r"`([^`<]+?)\s*<[^>]+>`_+", r"\1", block)
        block = re.sub(r"[*`_]|\.\. .*", "", block)
        for item in re.split(r"\n(?=- )", block):
            item = " ".join(item.split()).removeprefix("- ")
            sentences += filter(None, re.split(r"(?<=[.!?:])\s+(?=[A-Z])", item))
    return sentences


PLAIN = "test_the_example_of_a_plain_application"
DJANGO = "test_the_example_of_a_django_application_on_gevent"
PASTE = "test_the_example_of_a_paste_file"
CIRCUS = "test_the_circus_ini_of_its_documentation_works_with_one_change"
SUPERVISOR = "test_the_example_of_supervisor_runs_under_the_real_one"
TORNADO = "test_the_readmes_tornado_application_is_served"
BACKENDS = "test_a_thousand_requests_are_answered_over_an_adopted_socket"
MISSING = "test_a_missing_package_is_named_with_its_cure"

SENTENCES = {
    # The README
    "Chaussette": OTHERS,
    "Chaussette is a WSGI server.": PLAIN,
    "The particularity of Chaussette is that it can either bind a socket on a port like any other server does or run "
    "against already opened sockets.": "test_host_and_port_are_bound_and_logged_alike",
    "That makes Chaussette the best companion to run a WSGI or Django stack under a process "
    "and socket manager, such as "
    "Circus.": CIRCUS,
    "Quick Start": OTHERS,
    "Running:": OTHERS,
    "starts a very simple HTTP sample server on port 8080.": "no_words_give_the_defaults",
    "Starting a WSGI application using chaussette is simply a matter of calling:": TORNADO,
    "Chaussette can also serve tornado (non WSGI) application:": TORNADO,
    "The simplechat example can be started as:": MIGRATION,
    "Note that the two previous examples are not backend agnostic, since they are not (pure) "
    "WSGI applications.": OTHERS,
    "A flask based pure WSGI application can be started with most "
    "backends:": "test_the_readmes_flask_application_is_served",
    "In these examples, we start a standalone WSGI server, but the spirit of chaussette is to be managed by Circus, as "
    "described http://chaussette.readthedocs.org/en/latest/#using-chaussette-in-circus": CIRCUS,
    "Links": OTHERS,
    "The full documentation is located at: http://chaussette.readthedocs.org": OTHERS,
    "You can reach us for any feedback, bug report, or to contribute, at "
    "https://github.com/circus-tent/chaussette": OTHERS,
    "Changelog": OTHERS,
    "1.3.0 - 2015-06-01": OTHERS,
    "Fix gevent monkey patching (pull request #67).": "test_gevent_patches_before_the_application_is_imported",
    'Add a "--graceful-timeout" option (for gevent-based backends).': "test_graceful_timeout_is_for_every_backend",
    "Fix the tornado backend so that it accepts tornado's WSGIApplication instaces.": MIGRATION,
    "Update documentation.": OTHERS,
    "Improve example applications.": OTHERS,
    # The manual
    "Chaussette WSGI Server": OTHERS,
    "Chaussette is a WSGI server you can use to run your Python WSGI applications.": PLAIN,
    "That makes Chaussette the best companion to run a WSGI or Django stack under a process "
    "and socket manager, such as "
    "Circus or Supervisor.": SUPERVISOR,
    "Usage": OTHERS,
    "You can run a plain WSGI application, a Django application, or a Paste application.": PASTE,
    "To get all options, just run chaussette --help.": "test_help_has_each_option_of_1_3",
    "Running a plain WSGI application": OTHERS,
    "Chaussette provides a console script you can launch against a WSGI application, like any "
    "WSGI server out there:": PLAIN,
    "Running a Django application": OTHERS,
    "Chaussette allows you to run a Django project.": DJANGO,
    "You just need to provide the Python import path of the WSGI application, commonly located in the Django project's "
    "wsgi.py file.": DJANGO,
    "For further information about how the wsgi.py file should look like see the Django documentation.": OTHERS,
    "Here's an example:": OTHERS,
    "Running a Python Paste application": OTHERS,
    "Chaussette will let you run a project based on a Python Paste configuration file.": PASTE,
    "You just need to use to provide the path to the configuration file in the application, "
    "prefixed with paste:": PASTE,
    "Using Chaussette in Circus": OTHERS,
    "The typical use case is to run Chaussette processes under a process and socket manager.": CIRCUS,
    "Chaussette was developed to run under Circus, which takes care of binding the socket and spawning Chaussette "
    "processes.": CIRCUS,
    "To run your WSGI application using Circus, define a socket section in your configuration file, then add a "
    "Chaussette watcher.": CIRCUS,
    "Minimal example:": OTHERS,
    "When Circus runs, it binds a socket on the 8000 port and passes the file descriptor value to the Chaussette "
    "process, by replacing ${socket:web} by the file number value.": MIGRATION,
    "Using Chaussette in Supervisor": OTHERS,
    "Supervisor includes a socket manager since version 3.0a7, released in 2009.": OTHERS,
    "It was originally developed to support FastCGI processes and thus the configuration section is called "
    "fcgi-program.": OTHERS,
    "Despite the name, it is not tied to the FastCGI protocol.": SUPERVISOR,
    "Supervisor can bind the socket and then spawn Chaussette processes.": SUPERVISOR,
    "To run your WSGI application using Supervisor, define an fcgi-program section in your "
    "configuration file.": SUPERVISOR,
    "Notice the --fd 0 argument to chaussette.": "test_the_example_of_supervisor_serves_descriptor_0",
    "Each fcgi-program section defines its own socket and the file descriptor is always 0.": SUPERVISOR,
    "See the Supervisor manual for detailed information.": OTHERS,
    "Supervisor will create the socket before spawning the first Chaussette child process.": SUPERVISOR,
    "When the last child exits, Supervisor will close the socket.": OTHERS,
    "Backends": OTHERS,
    "Chaussette is just a bit of glue code on the top of existing WSGI servers, and is "
    "organized around back ends.": MIGRATION,
    "By default Chaussette uses a pure Python implementation based on wsgiref, but it also "
    "provides more efficient back "
    "ends.": MIGRATION,
    "Most of them are for Python 2 only, but Chaussette can be used under Python 3 with a few of them - marked in the "
    "list below:": MIGRATION,
    "gevent -- based on Gevent's pywsgi server": BACKENDS,
    "fastgevent -- based on Gevent's wsgi server -- faster but does not support streaming.": MIGRATION,
    "meinheld -- based on Meinheld's fast C server": MIGRATION,
    "waitress -- based on Pyramid's waitress pure Python web server (py3)": BACKENDS,
    "eventlet -- based on Eventlet's wsgi server": BACKENDS,
    "geventwebsocket -- Gevent's pywsgi server coupled with geventwebsocket handler.": BACKENDS,
    "geventws4py -- Gevent's pywsgi server coupled with ws4py handler.": MIGRATION,
    "socketio -- based on gevent-socketio, which is a custom Gevent server & handler that manages the socketio "
    "protocol.": MIGRATION,
    "bjoern -- based on Bjoern.": BACKENDS,
    "tornado -- based on Tornado's wsgi server.": MIGRATION,
    "You can select your backend by using the --backend option and providing its name.": BACKENDS,
    "For some backends, you need to make sure the corresponding libraries are installed:": MISSING,
    "gevent and fastgevent: pip install gevent": MISSING,
    "meinheld : pip install meinheld": MIGRATION,
    "waitress : pip install waitress": MISSING,
    "eventlet : pip install eventlet": MISSING,
    "geventwebsocket: pip install gevent-websocket": BACKENDS,
    "geventws4py: pip install ws4py": MIGRATION,
    "socketio: pip install gevent-socketio": MIGRATION,
    "bjoern: pip install bjoern": MISSING,
    "tornado: pip install tornado": MISSING,
    "If you want to add your favorite WSGI Server as a backend to Chaussette, or if you think you can make one of the "
    "backend Python 3 compatible, send me an e-mail !": MIGRATION,
    "If you curious about how each on of those backends performs, you can read:": OTHERS,
    "http://blog.ziade.org/2012/06/28/wgsi-web-servers-bench/": MIGRATION,
    "http://blog.ziade.org/2012/07/03/wsgi-web-servers-bench-part-2/": MIGRATION,
    "Rationale and Design": OTHERS,
    "Most WGSI servers out there provide advanced features to scale your web applications, like multi-threading or "
    "multi-processing.": OTHERS,
    "Depending on the project, the process management features, like respawning processes that die, or adding new ones "
    "on the fly, are not always very advanced.": OTHERS,
    "On the other hand, tools like Circus and Supervisor have more advanced features to manage your processes, and are "
    "able to manage sockets as well.": OTHERS,
    "The goal of Chaussette is to delegate process and socket management to its parent process "
    "and just focus on serving "
    "requests.": MIGRATION,
    "Using a pre-fork model, the process manager binds a socket.": CIRCUS,
    "It then forks Chaussette child processes that accept connections on that socket.": MIGRATION,
    "For more information about this design, read :": OTHERS,
    "http://blog.ziade.org/2012/06/12/shared-sockets-in-circus.": OTHERS,
    "http://circus.readthedocs.org/en/latest/for-ops/sockets/": OTHERS,
    "Useful links": OTHERS,
    "Repository : https://github.com/circus-tent/chaussette": OTHERS,
    "Documentation : https://chaussette.readthedocs.org": OTHERS,
    "Continuous Integration: https://travis-ci.org/circus-tent/chaussette": OTHERS,
}

#: What stands in the table of docs/migration.md for the sentences marked MIGRATION: a part of each, in its words.
QUOTED = {
    "The simplechat example can be started as:": "simple_chat",
    "Fix the tornado backend so that it accepts tornado's WSGIApplication instaces.": "WSGIApplication",
    "When Circus runs, it binds a socket on the 8000 port and passes the file descriptor value to the Chaussette "
    "process, by replacing ${socket:web} by the file number value.": "${socket:web}",
    "geventws4py -- Gevent's pywsgi server coupled with ws4py handler.": "geventws4py",
    "geventws4py: pip install ws4py": "geventws4py",
    "socketio: pip install gevent-socketio": "socketio",
    "meinheld -- based on Meinheld's fast C server": "meinheld",
    "meinheld : pip install meinheld": "pip install meinheld",
    "fastgevent -- based on Gevent's wsgi server -- faster but does not support "
    "streaming.": "faster but does not support",
    "http://blog.ziade.org/2012/06/28/wgsi-web-servers-bench/": "http://blog.ziade.org/2012/06/28",
    "http://blog.ziade.org/2012/07/03/wsgi-web-servers-bench-part-2/": "how backends perform",
    "If you want to add your favorite WSGI Server as a backend to Chaussette, or if you think you can make one of the "
    "backend Python 3 compatible, send me an e-mail !": "send me an e-mail",
}
