"""waitress: threads behind a loop, pure Python."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from chaussette.backend import Backend, BackendError, Listening, Settings, Stuck

#: Seconds for its threads to end once they are told to; one that does not is in the application's code.
_THREADS = 0.5

#: Seconds between two looks whether the last answer is out, once it is time to stop.
_LOOK = 0.05


class WaitressBackend(Backend):
    """waitress on our sockets. `--threads` are its own (4 unless said)."""

    package = "waitress"
    heeds = frozenset({"threads", "graceful-timeout"})

    @classmethod
    def prepare(cls, settings: Settings) -> None:
        import waitress  # noqa: F401

    def __init__(self, application: object, sockets: Sequence[Listening], settings: Settings) -> None:
        from waitress.server import create_server

        if len({sock.family.name == "AF_UNIX" for sock in sockets}) > 1:
            raise BackendError("backend waitress: it serves TCP sockets or unix sockets, not both: leave one kind out")
        self._map: dict[int, Any] = {}
        options: dict[str, Any] = {} if settings.threads is None else {"threads": settings.threads}
        # One socket tells its name; of several waitress takes what the Host header says.
        options["server_name"] = sockets[0].server_name
        self._server = create_server(application, map=self._map, sockets=list(sockets), **options)
        self._listeners = [each for each in self._map.values() if hasattr(each, "task_dispatcher")]
        self._deadline: float | None = None

    def serve_forever(self) -> None:
        from waitress import wasyncore

        while self._deadline is None:
            wasyncore.loop(timeout=30, use_poll=True, map=self._map, count=1)
        self._close(self._listeners)
        while self._busy() and time.monotonic() < self._deadline:
            wasyncore.loop(timeout=_LOOK, use_poll=True, map=self._map, count=1)
            # A kept-alive connection gets no further request; one whose answer is out is idle.
            self._close(self._idle())
        self._close(self._channels())
        self._server.task_dispatcher.shutdown(timeout=_THREADS)
        wasyncore.close_all(self._map)
        if self._server.task_dispatcher.threads:
            raise Stuck

    def stop(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        for each in self._listeners:
            each.pull_trigger()

    def _channels(self) -> list[Any]:
        return [each for each in self._map.values() if hasattr(each, "requests")]

    def _idle(self) -> list[Any]:
        return [each for each in self._channels() if not _is_busy(each)]

    def _busy(self) -> bool:
        return any(_is_busy(each) for each in self._channels())

    @staticmethod
    def _close(dispatchers: list[Any]) -> None:
        from waitress import wasyncore

        for each in dispatchers:
            if hasattr(each, "requests"):
                each.handle_close()
            else:
                # The dispatcher's own close() would close the trigger as well, through which threads wake the loop.
                wasyncore.dispatcher.close(each)


def _is_busy(channel: Any) -> bool:
    return bool(channel.requests or channel.request or channel.total_outbufs_len)
