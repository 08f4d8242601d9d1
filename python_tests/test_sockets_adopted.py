"""Sockets that a process manager hands over: served whatever their kind and state, and left as they were."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading

import pytest
from support.process import HERE, Server, command_line
from support.sockets import listening
from support.waiting import soon
from support.wire import Connection


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "unix"])
@pytest.mark.parametrize("blocking", [False, True], ids=["non-blocking", "blocking"])
def test_an_adopted_socket_is_served_whatever_its_family_and_mode(server, kind, blocking):
    site = server("apps.hello:app", listen=kind, blocking=blocking)
    for _ in range(3):
        assert site.get().text == "hello from 0\n"
    assert site.stop() == 0
    site.listener.setblocking(False)  # still listening, so the manager can hand it on
    assert site.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_the_log_names_the_descriptor(server):
    site = server("apps.hello:app")
    site.wait_for_log(rf"\[INFO\] Serving on fd://{site.fd}$")


def test_descriptor_0_is_adopted(server):
    """Circus' stdin_socket and Supervisor's fcgi-program hand the socket over as standard input."""
    with listening("tcp") as made:
        site = server("apps.hello:app", "--fd", "0", listen=None, stdin=made)
        site.address = made.getsockname()
        assert site.get().status == 200
        site.wait_for_log(r"Serving on fd://0$")


def test_bind_takes_a_descriptor_too(server):
    with listening("tcp") as made:
        fd = made.fileno()
        site = server("apps.hello:app", "--bind", f"fd://{fd}", listen=None, pass_fds=[fd])
        site.address = made.getsockname()
        assert site.get().status == 200


def test_the_backlog_of_an_adopted_socket_is_not_changed(server):
    """A connection that came before the server did is served by it: the queue was not made anew."""
    with listening("tcp") as made, Connection(made.getsockname()) as early:
        early.ask("GET", "/")
        server("apps.hello:app", "--backlog", "1", listen=made)
        assert early.response().status == 200


def test_the_socket_survives_the_server_and_serves_the_next_one(server):
    """Nothing is shut down: what connects between two servers waits, and is served by the second."""
    with listening("tcp") as made:
        first = server("apps.hello:app", listen=made)
        assert first.get().status == 200
        assert first.stop() == 0
        with Connection(made.getsockname()) as between:
            between.ask("GET", "/")
            server("apps.hello:app", listen=made)
            assert between.response().status == 200


def test_an_adopted_unix_path_is_never_unlinked(server):
    site = server("apps.hello:app", listen="unix")
    path = site.listener.getsockname()
    assert site.stop() == 0
    assert os.path.exists(path)


def test_two_servers_share_one_socket(server):
    with listening("tcp") as made:
        sites = [server("apps.hello:app", listen=made) for _ in range(2)]
        for _ in range(50):
            assert sites[0].get().status == 200
        assert sites[0].stop() == 0
        for _ in range(20):
            assert sites[1].get().status == 200


def test_a_stranger_who_makes_the_socket_blocking_does_not_stop_the_server(server):
    """O_NONBLOCK belongs to the open file description: this process has the same one."""
    site = server("apps.hello:app")
    with site.connect() as kept:
        assert kept.get("/").status == 200
        for _ in range(5):
            site.listener.setblocking(True)
            assert site.get().status == 200
            assert kept.get("/").status == 200, "accept() on a blocking socket has stopped the server"
            site.listener.setblocking(False)
            assert site.get().status == 200
        site.listener.setblocking(True)
        assert kept.get("/").status == 200
    assert site.stop(deadline=10) == 0


def test_a_stranger_who_accepts_first_does_not_stop_the_server(server):
    """Woken for a connection that a sibling takes, accept() on a blocking socket would wait for the next one."""
    site = server("apps.hello:app")
    site.listener.setblocking(True)
    # The first look at the flag finds it cleared while nobody competes: from then on no accept is the reactor's.
    # Before that look nothing can tell that a stranger meddles, so a thief may not be there yet.
    with contextlib.closing(Connection(site.address)) as first:
        assert first.get("/").status == 200
    site.wait_for_log("a thread of its own accepts on it")
    stop = threading.Event()

    def steal():
        while not stop.is_set():
            if select.select([site.listener], [], [], 0.01)[0]:
                site.listener.setblocking(False)
                try:
                    taken = site.listener.accept()[0]
                except BlockingIOError:
                    taken = None
                site.listener.setblocking(True)
                if taken is not None:
                    taken.close()

    thief = threading.Thread(target=steal)
    thief.start()
    try:
        with contextlib.closing(connection_to(site)) as kept:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    socket.create_connection(site.address, 10).close()
                assert kept.get("/").status == 200, "the server hangs in accept()"
    finally:
        stop.set()
        thief.join()


def connection_to(site):
    """A connection that the server has, and not the thief."""

    def attempt():
        connection = Connection(site.address)
        try:
            assert connection.get("/").status == 200
        except Exception:
            connection.close()
            return None
        return connection

    return soon(attempt, what="a connection that the server got")


def test_a_stopped_server_leaves_the_connections_of_its_sibling_alone(server):
    with listening("tcp") as made:
        first, second = (server("apps.hello:app", listen=made) for _ in range(2))
        connections = [first.connect() for _ in range(20)]
        for connection in connections:
            assert connection.get("/").status == 200
        ports = {connection: connection.port for connection in connections}
        assert first.stop() == 0
        kept = [connection for connection in connections if second.has_connection_from(ports[connection])]
        for connection in kept:
            assert connection.get("/").status == 200


def test_several_sockets_are_served_by_one_server(server, tmp_path):
    with listening("tcp") as made:
        fd = made.fileno()
        path = tmp_path / "other.sock"
        options = ["--bind", f"fd://{fd}", "--bind", f"unix:{path}", "--bind", "127.0.0.1:0"]
        site = server("apps.hello:app", *options, listen=None, pass_fds=[fd])
        port = int(site.wait_for_log(r"Serving on 127\.0\.0\.1:(\d+)$").group(1))
        site.wait_for_log(rf"Serving on unix:{path}$")
        for address in (made.getsockname(), str(path), ("127.0.0.1", port)):
            with Connection(address) as connection:
                assert connection.get("/").status == 200


def test_processes_of_the_application_inherit_no_socket_of_the_server(server, tmp_path):
    """Whatever is adopted or opened is close-on-exec: else a child would keep the port open after the server."""
    with listening("tcp") as first, listening("unix", tmp_path / "second.sock") as second:
        options = ["--bind", f"fd://{second.fileno()}", "--bind", "127.0.0.1:0"]
        site = server(
            "apps.inherited:app",
            "--fd",
            first.fileno(),
            *options,
            listen=None,
            pass_fds=[first.fileno(), second.fileno()],
        )
        site.address = first.getsockname()
        with site.connect() as connection:
            inherited = connection.get("/").json()
    assert set(inherited) == {"0", "1", "2"}, inherited


def test_a_socket_that_nobody_adopts_is_left_alone(server):
    """With use_sockets a process inherits every socket of circusd: those that are not named are not served."""
    with listening("tcp") as made, listening("tcp") as stranger:
        site = server("apps.hello:app", listen=made, pass_fds=[stranger.fileno()])
        assert site.get().status == 200
        with Connection(stranger.getsockname()) as connection:
            connection.ask("GET", "/")
            with stranger.accept()[0] as accepted:
                assert accepted.recv(3) == b"GET"


# LISTEN_FDS and LISTEN_PID, as sd_listen_fds(3) has them


def launched(server, whose, sockets, *options, wait=True):
    """Start the command through the small launcher that plays systemd."""
    fds = [made.fileno() for made in sockets]
    launcher = [sys.executable, str(HERE / "support" / "launch.py"), whose, ",".join(map(str, fds))]
    site = Server(
        [*launcher, *command_line(), "--interpreters", "1", *options],
        server.workdir / "launched",
        address=sockets[0].getsockname(),
        popen={"env": {}, "cwd": str(HERE), "pass_fds": fds, "stdin": subprocess.DEVNULL},
    )
    server.servers.append(site)
    return site.wait_ready() if wait else site


def test_sockets_of_systemd_are_adopted(server, tmp_path):
    with listening("tcp") as first, listening("unix", tmp_path / "second.sock") as second:
        site = launched(server, "self", [first, second], "apps.hello:app")
        site.wait_for_log(r"Serving on fd://3$")
        site.wait_for_log(r"Serving on fd://4$")
        for made in (first, second):
            with Connection(made.getsockname()) as connection:
                assert connection.get("/").status == 200


def test_the_variables_of_systemd_do_not_reach_the_application(server):
    """sd_listen_fds(3): a child process must not take them for its own."""
    with listening("tcp") as made:
        seen = launched(server, "self", [made], "apps.settings:app").get().json()
        assert not [name for name in seen["own_environ"] if name.startswith("LISTEN_")]


def test_sockets_of_systemd_are_not_inherited_by_processes_of_the_application(server):
    with listening("tcp") as made:
        assert set(launched(server, "self", [made], "apps.inherited:app").get().json()) == {"0", "1", "2"}


@pytest.mark.parametrize("whose", ["other", "none"])
def test_sockets_meant_for_another_process_are_not_adopted(server, whose):
    with listening("tcp") as made:
        site = launched(server, whose, [made], "--bind", "127.0.0.1:0", "apps.hello:app")
        site.address = "127.0.0.1", int(site.wait_for_log(r"Serving on 127\.0\.0\.1:(\d+)$").group(1))
        assert site.get().status == 200
        assert "fd://3" not in site.log


def test_the_command_line_wins_over_systemd_or_adds_to_it(server):
    """Whichever: the socket that the command line names is served."""
    with listening("tcp") as made:
        site = launched(server, "self", [made], "--bind", "127.0.0.1:0", "apps.hello:app")
        site.address = "127.0.0.1", int(site.wait_for_log(r"Serving on 127\.0\.0\.1:(\d+)$").group(1))
        assert site.get().status == 200
