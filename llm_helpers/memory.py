"""Keep freed memory in the process instead of handing it back after every step.

glibc returns each big block to the kernel as soon as it is freed, and the next step
fetches it again, page by page: for a small model that is up to half of a step's time.
The settings are those of mallopt(3); only speed and the size of the process change,
no number does.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from malloc.h


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed; returns whether it agreed.

    Elsewhere (macOS, Windows, other C libraries) nothing happens and False is returned.
    The process stays as big as its biggest moment: leave it off on shared machines.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never_map, never_trim = mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, -1)
    return bool(never_map and never_trim)
