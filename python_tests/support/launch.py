"""Starts a command as systemd does: sockets at 3, 4, …, LISTEN_FDS and LISTEN_PID, then exec.

Usage: launch.py PID|self|other|none FD[,FD...] COMMAND...   Run as a program; imported by nobody.
"""

import os
import sys


def main():
    whose, given, *command = sys.argv[1:]
    fds = [os.dup(int(fd)) for fd in given.split(",")]  # out of the way of 3, 4, …
    high = [os.dup2(fd, 100 + n) for n, fd in enumerate(fds)]
    for n, fd in enumerate(high):
        os.dup2(fd, 3 + n, inheritable=True)
        os.close(fd)
    os.environ["LISTEN_FDS"] = str(len(fds))
    if whose != "none":
        os.environ["LISTEN_PID"] = str(os.getpid() if whose == "self" else 1)
    os.closerange(3 + len(fds), 100 + len(fds))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
