"""The server, written in Rust. Main interpreter only: it refuses to load in any other."""

from collections.abc import Callable
from typing import TypedDict, final, type_check_only

__all__ = ["Listener", "Program", "main", "rehearse", "zygote"]

@type_check_only
class Asked(TypedDict):
    """What `--check` is asked for."""

    given: list[tuple[str, list[str]]]
    interpreters: int
    json: bool
    timeout: float

@type_check_only
class Handover(TypedDict):
    """The settings of a command line that names another backend, or a check: plain data, checked."""

    application: str
    factory: bool
    argv: list[str]
    path: list[str]
    sockets: list[tuple[str, int, str | None]]
    threads: int
    named: list[str]
    notices: list[str]
    options: dict[str, object]
    check: Asked | None

def main(argv: list[str]) -> int | Handover:
    """Run the command line `argv`, program name first as in `sys.argv`, and return the exit status.

    Blocks with the GIL released until the server has stopped. When the words name a backend other than `interpreters`,
    or ask for a check, nothing is started, and the settings for it are returned.
    """

def rehearse(words: list[str], told: Callable[[int], object]) -> str | None:
    """Load the application of the command line `words` as for serving it, for one worker and then for all.

    `told` is called with their number. Returns the report of a load that failed. Blocks with the GIL released, until
    the interpreters have ended; opens no socket.
    """

def zygote() -> int:
    """Live as the zygote of worker processes, whose cord is standard input; return its exit status."""

@final
class Listener:
    """A listening socket, adopted (`fd://N`) or bound. Closing it removes the file of a unix socket it has made."""

    def __new__(cls, host: str, port: int = ..., family: str | None = None, backlog: int = ...) -> Listener:
        """Open it. Raises ValueError for what is no address, OSError for one that cannot be had."""

    def fileno(self) -> int:
        """Return the descriptor, which stays this object's."""

    def describe(self) -> str:
        """Return what stands after `Serving on` in the log."""

    def server_name_port(self) -> tuple[str, str]:
        """Return SERVER_NAME and SERVER_PORT for a request that does not tell."""

    def close(self) -> None: ...

@final
class Program:
    """The server as a part of a program: takes no signal and ends no process."""

    def __new__(cls, words: list[str]) -> Program:
        """Read `words` as the command line does, program name first. Raises ValueError for what is wrong in them."""

    def serve(self) -> tuple[int, bool]:
        """Serve until `stop`; return the exit status that the command would have had, and whether Python can end all
        interpreters that are left. Blocks with the GIL released. Once only.
        """

    def stop(self) -> None:
        """Ask it to answer what is in flight and end. Never waits."""

    def stop_at_once(self) -> None:
        """Ask it to end now. Never waits."""
