"""What a process and its children have used, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds of all threads since the start, those that have ended included."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def cpu(pid: int) -> Cpu:
    """Read now. The kernel's clock has ticks of 10 ms."""
    user = system = 0
    for process in _family(pid):
        # After the name, which may hold blanks: state is field 0, utime 11, stime 12.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return Cpu(user / TICKS, system / TICKS)


def switches(pid: int) -> int:
    """Voluntary context switches of all living threads: how often they woke."""
    tasks = [task for process in _family(pid) for task in (process / "task").iterdir()]
    return sum(_value(task / "status", "voluntary_ctxt_switches") for task in tasks)


def memory_mib(pid: int) -> dict[str, float]:
    """Resident memory: now, at most so far, and with shared pages counted in parts (PSS)."""
    family = _family(pid)

    def total(file: str, key: str) -> float:
        return round(sum(_value(process / file, key) for process in family) / 1024, 1)

    return {"rss": total("status", "VmRSS"), "peak": total("status", "VmHWM"), "pss": total("smaps_rollup", "Pss")}


def _family(pid: int) -> list[Path]:
    process = Path(f"/proc/{pid}")
    family = [process]
    for task in (process / "task").iterdir():
        for child in (task / "children").read_text().split():
            family += _family(int(child))
    return family


def _value(file: Path, key: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise LookupError(f"{file} says nothing of {key}")
