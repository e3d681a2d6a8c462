"""Keep freed memory in the process instead of handing it back after every step.

glibc returns each big block to the kernel as soon as it is freed, and the next step
fetches it again, page by page: for a small model that is up to half of a step's time.
The settings are those of mallopt(3); only speed and the size of the process change,
no number does.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # from malloc.h
_KEEP = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1))
_HAND_BACK = (  # what glibc arrives at by itself once big blocks were freed
    (_M_MMAP_MAX, 65_536),
    (_M_MMAP_THRESHOLD, 32 * 2**20),
    (_M_TRIM_THRESHOLD, 64 * 2**20),
)


def keep_freed_memory(keep: bool = True) -> bool:
    """Let glibc keep what is freed, or hand it back as it does by default.

    The process stays as big as its biggest moment, and blocks of some hundred megabytes
    leave gaps between them: hand memory back for these, and on shared machines.

    Returns:
        Whether glibc agreed. Elsewhere (macOS, Windows, other C libraries) nothing
        happens and False is returned.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    agreed = [libc.mallopt(*setting) for setting in (_KEEP if keep else _HAND_BACK)]
    if not keep:
        libc.malloc_trim(0)
    return all(agreed)
