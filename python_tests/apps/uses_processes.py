"""Uses of processes (apps.uses). What runs in a child is importable there: this module, which imports little else."""

import asyncio
import os
import subprocess
import sys

from apps.uses_rows import Refused, Rows, Works

USES = Rows()

#: Seconds that a use waits for its own children: two starts of Python on a loaded machine.
PATIENCE = 60

#: What a refused fork says.
FORK = ("fork not supported", "subprocess", "spawn", "--isolation process")

DEFAULT, DEFAULT_IN_MAIN = ("forkserver", "forkserver") if sys.version_info >= (3, 14) else ("spawn", "fork")


def double(number):
    return 2 * number


def put_double(line, number):
    line.put(double(number))


def process_by(method):
    import multiprocessing

    context = multiprocessing.get_context(method)
    line = context.SimpleQueue()
    process = context.Process(target=put_double, args=(line, 21))
    process.start()
    process.join(PATIENCE)
    return line.get() if process.exitcode == 0 else f"exit code {process.exitcode}"


@USES.row("`subprocess`", Works("child"))
def subprocess_run():
    return subprocess.run(["echo", "child"], capture_output=True, text=True, timeout=PATIENCE).stdout.strip()


@USES.row(
    "`subprocess` with `sys.executable`", Works(True), remark="the Python, and the virtual environment, of the server"
)
def subprocess_of_this_python():
    code = "import sys; print(sys.prefix)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    return run.stdout.strip() == sys.prefix


@USES.row(
    "`subprocess` with `preexec_fn`",
    Refused("RuntimeError", ("preexec_fn not supported",)),
    Works(0),
    remark="`start_new_session`, `process_group`, `user`, `umask` do it without",
)
def subprocess_preexec():
    return subprocess.run(["true"], preexec_fn=os.getpid, timeout=PATIENCE).returncode


@USES.row("`os.system`, `os.popen`", Works(3))
def os_system():
    return os.system("exit 3") >> 8


@USES.row("`os.posix_spawn`", Works(4))
def posix_spawn():
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {})
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@USES.row("`asyncio.create_subprocess_exec`", Works("child"))
def asyncio_subprocess():
    async def work():
        process = await asyncio.create_subprocess_exec("echo", "child", stdout=subprocess.PIPE)
        return (await process.communicate())[0].decode().strip()

    return asyncio.run(work())


@USES.row(
    "`multiprocessing`'s default",
    Works(DEFAULT, "*spawn*, *forkserver*"),
    Works(DEFAULT_IN_MAIN, "CPython's"),
    remark="*spawn* where CPython's own is *fork* (before 3.14)",
)
def default_start_method():
    import multiprocessing

    return multiprocessing.get_start_method()


@USES.row(
    "`multiprocessing.Process`",
    Works(42),
    remark="its function must be importable in the child: of a module, not of a request",
)
def process_by_default():
    return process_by(None)


@USES.row("… by *spawn*", Works(42))
def process_by_spawn():
    return process_by("spawn")


@USES.row("… by *forkserver*", Works(42))
def process_by_forkserver():
    return process_by("forkserver")


@USES.row(
    "… by *fork*",
    Refused("RuntimeError", FORK),
    Works(42),
    remark="the child has a copy of each connection: a client that waits for its end waits for the child",
)
def process_by_fork():
    return process_by("fork")


@USES.row("`multiprocessing.Pool`", Works([2, 4]))
def pool_by_spawn():
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map_async(double, [1, 2]).get(PATIENCE)


@USES.row("`ProcessPoolExecutor`", Works(8))
def process_pool():
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as pool:
        return pool.submit(double, 4).result(PATIENCE)


@USES.row("`multiprocessing.Manager`", Works({"a": 1}))
def manager():
    import multiprocessing

    with multiprocessing.get_context("spawn").Manager() as manager:
        shared = manager.dict(a=1)
        return dict(shared)


@USES.row("`os.fork`, `os._exit` in the child", Refused("RuntimeError", FORK), Works(5))
def fork_that_leaves():
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@USES.row(
    "`os.fork`, and the child goes on",
    Refused("RuntimeError", FORK),
    Works(1),
    remark="a child that comes back to the server is ended there, with status 1 and a line on stderr",
)
def fork_that_returns():
    """The child comes back to the server, as code does that was not made for one."""
    pid = os.fork()
    if pid == 0:
        return "child"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@USES.row("`os.forkpty`", Refused("RuntimeError", FORK), Works(6))
def fork_pty():
    pid, descriptor = os.forkpty()
    if pid == 0:
        os._exit(6)
    status = os.waitpid(pid, 0)[1]
    os.close(descriptor)
    return os.waitstatus_to_exitcode(status)


def sleep_for_ever():
    import time

    time.sleep(1e6)
