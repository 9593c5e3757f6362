"""Results: what they are, the JSON they are kept in, and the tables of `performance.md`.

The JSON holds one section per module of this folder, each with its own date, commit and machine, since each can be measured
alone. The document is written by hand but for the tables, which stand between marks and are made from the JSON.
"""

import json
import os
import platform
import re
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass
class Goal:
    """One value a run, and what its median has to be at most."""

    name: str
    values: list[float]
    must: float
    aim: float

    @property
    def median(self) -> float:
        return round(statistics.median(self.values), 3)

    def verdict(self) -> str:
        if self.median <= self.aim:
            return "aim reached"
        return "goal reached" if self.median <= self.must else "missed"


@dataclass
class Section:
    """What one module measured."""

    name: str
    title: str
    setting: dict
    goals: list[Goal] = field(default_factory=list)
    # Facts that no goal is set for.
    extra: dict = field(default_factory=dict)
    # Every run, as it was measured.
    runs: dict = field(default_factory=dict)

    def as_json(self, measured: str) -> dict:
        goals = [asdict(goal) | {"median": goal.median, "verdict": goal.verdict()} for goal in self.goals]
        return {
            "title": self.title,
            "date": datetime.now(UTC).date().isoformat(),
            "commit": measured,
            "machine": machine(),
            "setting": self.setting,
            "goals": goals,
            "extra": self.extra,
            "runs": self.runs,
        }


def commit(top: Path) -> str:
    """What was measured; with a `+` when files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", top, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    # What is measured, and how; not what is written about it.
    changed = git("status", "--porcelain", "--", "src", "tests/bench", "Cargo.toml", "Cargo.lock")
    return git("rev-parse", "--short=10", "HEAD") + "+" * bool(changed)


def machine() -> dict:
    """What it ran on."""
    names = re.findall(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="?([^"\n]+)', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "processor": names[-1] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": system[1] if system else platform.system(),
        "kernel": platform.release().split("-")[0],
        # Other work at the same time: more than the cores means that everything waited.
        "load": round(os.getloadavg()[2], 1),
    }


def keep(path: Path, measured: str, sections: list[Section]) -> dict:
    """Puts sections, of the commit that was measured, into the JSON, in place of what they measured before; answers the whole."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {section.name: section.as_json(measured) for section in sections}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return kept


def write_tables(document: Path, kept: dict) -> None:
    """Makes the tables of the document anew. Each stands between `<!-- NAME -->` and `<!-- end of NAME -->`."""
    text = document.read_text()
    for name, section in kept.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin not in text or end not in text:
            raise ValueError(f"{document} has no place for '{name}': give it '{begin.strip()}' and '{end}'")
        head, rest = text.split(begin, 1)
        text = head + begin + table(section) + end + rest.split(end, 1)[1]
    document.write_text(text)


def table(section: dict) -> str:
    """One section's goals in Markdown."""
    machine_ = section["machine"]
    lines = [
        f"Measured {section['date']} at commit {section['commit']}: {machine_['processor']}, {machine_['cores']} cores, "
        f"{machine_['system']}; load {machine_['load']}.",
        "",
        "| ratio | runs | median | goal | aim | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for goal in section["goals"]:
        values = ", ".join(f"{value:g}" for value in goal["values"])
        limits = f"{goal['must']:g} | {goal['aim']:g}"
        lines.append(f"| {goal['name']} | {values} | **{goal['median']:g}** | {limits} | {goal['verdict']} |")
    return "\n".join(lines) + "\n"
