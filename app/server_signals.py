"""Make granian's servers end on any SIGTERM, whenever it comes and however often."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

from granian import _signals
from granian._granian import WorkerSignal

_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


def end_on_signals_while_starting() -> None:
    """Call before granian forks its servers. One that has no handlers of its own yet inherits granian's, which would
    take a SIGTERM and do nothing: until it has them, the signal ends it, as nobody is being served."""

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def reset() -> None:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=reset)


def ignore_repeated_signals() -> None:
    """Call in a server before granian sets its handlers. A second signal, as the one of a service manager to all
    processes beside the one of granian's own, would block granian's thread for good."""
    _signals.set_loop_signals = _set_loop_signals


def _set_loop_signals(loop: asyncio.AbstractEventLoop) -> WorkerSignal:
    """In place of granian's function of that name."""
    event = WorkerSignal()

    def stop() -> None:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        event.set()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    return event
