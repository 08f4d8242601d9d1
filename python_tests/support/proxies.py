"""Real proxies in front of a server: nginx and HAProxy, in the foreground, with a configuration of the test's own.

Owns their processes and their folders. Each gets its listening socket by inheritance, so that no port is chosen
twice, reads no file but those made here, and runs as whoever runs the tests.
"""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from .process import Server
from .sockets import listening
from .wire import Connection

#: Debian puts both in sbin, which is not on everybody's PATH.
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

#: nginx's stream module is a package of its own.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

#: Seconds to the end of a proxy that was told to stop at once.
END = 10.0

NGINX = """\
daemon off;
worker_processes 1;
user {user};
pid nginx.pid;
error_log stderr info;
{top}
events {{ worker_connections 512; }}
"""

NGINX_HTTP = """\
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path body;
    proxy_temp_path proxied;
    fastcgi_temp_path unused-fastcgi;
    uwsgi_temp_path unused-uwsgi;
    scgi_temp_path unused-scgi;
    client_max_body_size 0;
    upstream application {{
        server {upstream};
        keepalive 8;
    }}
    server {{
        listen 127.0.0.1:{port}{listen};
        {server}
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            {location}
        }}
    }}
}}
"""

NGINX_STREAM = """\
stream {{
    server {{
        listen 127.0.0.1:{port};
        proxy_pass {upstream};
        proxy_protocol on;
    }}
}}
"""

HAPROXY = """\
global
    maxconn 512
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend entry
    bind fd@{fd}{bind}
    default_backend application
    {frontend}
backend application
    {backend}
    server one {upstream} {server}
"""


def find(name):
    return shutil.which(name, path=WHERE)


def version(name):
    """As a tuple of numbers."""
    said = subprocess.run([find(name), "-v"], capture_output=True, text=True, timeout=20)
    return tuple(int(part) for part in re.search(r"(\d+)\.(\d+)\.\d+", said.stdout + said.stderr).groups())


class Proxy:
    """A started proxy; `address` is where clients reach it."""

    def __init__(self, folder, listener, command, env, fds):
        self.address = listener.getsockname()
        self.log_path = folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=env,
                pass_fds=fds,
                start_new_session=True,
            )
        # Clients wait in the backlog until it accepts, and are reset should it end instead.
        listener.close()
        self.connections = []

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def connect(self, source="127.0.0.1", timeout=15.0):
        """A connection of a client at `source`, closed with the proxy unless the test closes it."""
        self.connections.append(Connection(self.address, timeout, source=source))
        return self.connections[-1]

    def request(self, method, target, headers=(), body=b"", chunks=None, source="127.0.0.1"):
        with self.connect(source) as connection:
            return connection.request(method, target, headers, body, chunks)

    def get(self, target="/", headers=(), source="127.0.0.1"):
        return self.request("GET", target, headers, source=source)

    def clean_up(self):
        """End it; returns what was wrong, as a list of sentences."""
        for connection in self.connections:
            connection.close()
        wrong = []
        if self.process.poll() is not None:
            wrong.append(f"{self.process.args[0]} ended by itself; its log was:\n{self.log}")
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(END)
        except subprocess.TimeoutExpired:
            wrong.append(f"{self.process.args[0]} did not end; its log was:\n{self.log}")
            self.process.kill()
            self.process.wait(END)
        return wrong


class Proxies:
    """Starts proxies for one test and ends them all."""

    def __init__(self, workdir):
        self.workdir, self.started = workdir, []

    def nginx(self, upstream, location="", server="", listen="", stream=False):
        """nginx in front of `upstream`, a server, a proxy or an address; the words go into its blocks."""
        folder, listener = self._begin("nginx")
        where = _nginx_address(_address(upstream))
        top, body = (f"load_module {STREAM_MODULE};", NGINX_STREAM) if stream else ("", NGINX_HTTP)
        given = {"location": location, "server": server, "listen": listen}
        port = listener.getsockname()[1]
        text = (NGINX + body).format(top=top, user=_user(), upstream=where, port=port, **given)
        return self._start_nginx(folder, listener, text)

    def _start_nginx(self, folder, listener, text):
        (folder / "nginx.conf").write_text(text)
        command = [find("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        # How nginx hands its sockets over to its successor; it finds the one that `listen` names by its address.
        return self._start(folder, listener, command, {"NGINX": f"{listener.fileno()};"})

    def haproxy(self, upstream, frontend="", backend="", server="", bind="", mode="http"):
        """HAProxy in front of `upstream`; the words go into its sections."""
        folder, listener = self._begin("haproxy")
        where = _haproxy_address(_address(upstream))
        given = {"frontend": frontend, "backend": backend, "server": server, "bind": bind, "mode": mode}
        text = HAPROXY.format(fd=listener.fileno(), upstream=where, **given)
        (folder / "haproxy.cfg").write_text(text)
        return self._start(folder, listener, [find("haproxy"), "-db", "-f", "haproxy.cfg"], {})

    def by_example(self, shipped, upstream):
        """A shipped configuration, with another socket to listen on and another path of the server's."""
        name = shipped.parent.name
        text = _replaced(shipped.read_text(), "/run/chaussette/web.sock", upstream.address)
        return self.by_text(name, text, "bind :80" if name == "haproxy" else "listen 80;")

    def by_text(self, name, text, bind):
        """A whole configuration, whose listening socket is called `bind`."""
        folder, listener = self._begin(name)
        if name == "haproxy":
            (folder / "haproxy.cfg").write_text(_replaced(text, bind, f"bind fd@{listener.fileno()}"))
            return self._start(folder, listener, [find("haproxy"), "-db", "-f", "haproxy.cfg"], {})
        return self._start_nginx(folder, listener, _nginx_whole(text, bind, listener))

    def _begin(self, name):
        folder = self.workdir / f"{name}-{len(self.started)}"
        folder.mkdir()
        return folder, listening()

    def _start(self, folder, listener, command, env):
        proxy = Proxy(folder, listener, command, env, (listener.fileno(),))
        self.started.append(proxy)
        return proxy

    def clean_up(self):
        wrong = [sentence for proxy in reversed(self.started) for sentence in proxy.clean_up()]
        assert not wrong, "\n".join(wrong)


def _nginx_whole(text, listen, listener):
    """What goes into the http block, with all that is around it."""
    text = _replaced(text, listen, f"listen 127.0.0.1:{listener.getsockname()[1]};")
    paths = "".join(f"{key}_temp_path {key};\n" for key in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return NGINX.format(top="", user=_user()) + "http {\naccess_log off;\n" + paths + text + "}\n"


def _user():
    """nginx's worker would be somebody else, who may not enter the tests' folders."""
    return pwd.getpwuid(os.getuid()).pw_name


def _replaced(text, old, new):
    assert old in text, f"the example no longer has {old!r}"
    return text.replace(old, new)


def _address(upstream):
    return upstream.address if isinstance(upstream, Server | Proxy) else upstream


def _nginx_address(address):
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else f"unix:{address}"


def _haproxy_address(address):
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else f"unix@{address}"
