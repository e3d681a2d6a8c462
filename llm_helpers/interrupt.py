"""Ctrl-C, the notebook's stop button and SIGTERM end a run after the step it is at."""

import signal
import threading
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(run):
    """The first signal sets `run.stop_requested`; the second acts as ever.

    Handlers can be installed in the main thread only; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {s: signal.getsignal(s) for s in SIGNALS}

    def request_stop(signal_number, frame):
        run.stop_requested = True
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
