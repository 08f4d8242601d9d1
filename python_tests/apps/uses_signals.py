"""Uses of signals and of what else belongs to the whole process (apps.uses)."""

import asyncio
import os
import signal
import socket
import sys

from apps.uses_rows import Ends, Refused, Rows, Works

USES = Rows()

#: What a refused handler says.
HANDLERS = ("only works in main thread of the main interpreter", "atexit", "--post-hook")


@USES.row("`signal.signal`", Refused("ValueError", HANDLERS), remark="clean up in `atexit` handlers or `--post-hook`")
def handler():
    signal.signal(signal.SIGUSR1, lambda *arguments: None)


@USES.row("`signal.set_wakeup_fd`", Refused("ValueError", HANDLERS))
def wakeup():
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        signal.set_wakeup_fd(one.fileno())


@USES.row("`loop.add_signal_handler`", Refused("RuntimeError", HANDLERS))
def loop_handler():
    async def work():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)

    asyncio.run(work())


@USES.row("`signal.getsignal`", Works(True))
def handler_in_force():
    return signal.getsignal(signal.SIGUSR1) in (signal.SIG_DFL, signal.SIG_IGN, None)


@USES.row(
    "`signal.setitimer`, `signal.alarm`",
    Works(True),
    remark="of the process: when it comes, nobody handles it, and the process ends",
)
def interval_timer():
    signal.setitimer(signal.ITIMER_REAL, 1000)
    return signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0


@USES.row("`_thread.interrupt_main`", Works(None, "nothing happens"))
def interrupt_main():
    import _thread

    _thread.interrupt_main()


@USES.row(
    "`faulthandler`",
    Refused("ImportError", ("does not support loading in subinterpreters",)),
    Works(True),
    remark="for all interpreters: `PYTHONFAULTHANDLER=1` in the server's environment, and no import of it",
)
def fault_handler():
    import faulthandler

    faulthandler.enable()
    return faulthandler.is_enabled()


@USES.row("`tracemalloc`", Refused("ImportError", ("does not support loading in subinterpreters",)), Works(False))
def trace_malloc():
    import tracemalloc

    return tracemalloc.is_tracing()


@USES.row("`os.exec…`", Refused("RuntimeError", ("exec not supported", "subprocess")), Ends())
def replace_the_process():
    os.execv(sys.executable, [sys.executable, "-c", "raise SystemExit(9)"])
