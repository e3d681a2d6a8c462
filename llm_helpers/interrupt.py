"""Ctrl-C, the notebook's stop button and SIGTERM end a run after the step it is at."""

import signal
import threading
from contextlib import contextmanager

from torch import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(run):
    """The first signal sets `run.stop_requested`; the second acts as ever.

    Under torchrun, the second says the same again: torchrun passes signals on to its
    processes, which have got them already where a scheduler sends them to all.

    Handlers can be installed in the main thread only; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {s: signal.getsignal(s) for s in SIGNALS}

    def request_stop(signal_number, frame):
        run.stop_requested = True
        if not distributed.is_torchelastic_launched():
            restore()

    def restore():
        for signal_number, handler in previous.items():
            signal.signal(signal_number, handler)

    for signal_number in SIGNALS:
        signal.signal(signal_number, request_stop)
    try:
        yield
    finally:
        restore()
