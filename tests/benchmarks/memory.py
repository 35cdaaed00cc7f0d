"""Current and peak memory of this process."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): sets the peak to what is resident now


class PeakMemory:
    """The most memory in use between ``reset`` and ``read``, beyond what there was when this was made, in bytes.

    Linux forgets an earlier peak when asked to; elsewhere the peak is that of the process's whole life.
    """

    def __init__(self) -> None:
        self._before = _field("VmRSS") or _lifetime_peak()

    def reset(self) -> None:
        """Forget the peak so far."""
        if CLEAR.exists():
            CLEAR.write_text(RESET_PEAK)

    def read(self) -> int:
        return max((_field("VmHWM") or _lifetime_peak()) - self._before, 0)


def _field(name: str) -> int | None:
    if not STATUS.exists():
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _lifetime_peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
