"""Whole daemons side by side on one and the same feed: CPU, memory, viewers, recordings.

Both run at the same time and get each picture in the same tick, so that whatever else the machine does, and however warm it
is, weighs on both alike. Only the ratio inside a run counts; a goal is judged by the median of the runs.
"""

import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import clip
import procfs
from feed import Feed
from peers import Daemon, Motion, Task, Watchtower, running, wait_for_port
from report import Goal, Section
from viewers import Viewers

NAME = "daemons"
TITLE = "The daemon beside motion"
NEEDS_COMMANDS = {"motion": "motion", "ffprobe": "ffmpeg"}

SIZE, FPS, VIEWERS = (1280, 720), 20, 8
# About 143 kB a picture, as a USB camera's MJPEG has them at this size.
JPEG_QUALITY = 70
LOOP = 400
WALK = (40, 360)
# Both daemons have found the camera, learned the scene and filled their rings.
WARM_UP_S = 15
# What was sent last is recorded by then.
LAST_WORK_S = 2
# Watchtower's bytes per recorded picture, as parts of motion's: motion's differ by a tenth from run to run, and what is too
# much is to Watchtower's disadvantage.
MATCHED = (0.95, 1.15)
# Above these the machine was too busy for a fair run: the feed was late, or a daemon did not get to read it.
WORST_DELAY_S, WORST_WAITING = 0.5, 10


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    runs: int
    pictures: int

    @staticmethod
    def of(quick: bool) -> "Effort":
        return Effort(1, 200) if quick else Effort(3, 1000)


def measure(context) -> Section:
    """Runs everything and judges it."""
    effort = Effort.of(context.quick)
    peers = [Motion(), Watchtower(context.binary)]
    still = clip.mjpeg(context.folder / "clips", SIZE, LOOP, None, JPEG_QUALITY)
    walked = clip.mjpeg(context.folder / "clips", SIZE, LOOP, WALK, JPEG_QUALITY)
    section = Section(
        NAME,
        TITLE,
        setting={
            "size": "1280x720",
            "pictures_per_s": FPS,
            "pictures_per_run": effort.pictures,
            "viewers": VIEWERS,
            "versions": {peer.name: peer.version() for peer in peers},
            "clips": {"still": still.summary(), "walk": walked.summary()},
        },
    )
    watching, recording = [], []
    task = Task(SIZE, FPS)
    for number in range(effort.runs):
        context.say(f"run {number + 1} of {effort.runs}: nothing happens, then {VIEWERS} viewers")
        watching.append(_fair(context, lambda: watch(peers, task, still, effort)))
    task = replace(task, record=True)
    for number in range(effort.runs):
        context.say(f"run {number + 1} of {effort.runs}: recording all the time")
        run, task = record_alike(context, peers, task, walked, effort)
        recording.append(run)
    context.say("memory of motion with Watchtower's pre-roll")
    section.extra["motion_with_pre_roll"] = pre_roll_memory(still, replace(task, record=False, pre_roll_s=8))
    section.runs = {"watching": watching, "recording": recording}
    section.goals = judge(watching, recording)
    return section


def judge(watching: list[dict], recording: list[dict]) -> list[Goal]:
    """The goals, each from one ratio a run."""

    def ratio(runs, value):
        return [round(value(run["watchtower"]) / value(run["motion"]), 3) for run in runs]

    def more(phase):
        return lambda daemon: daemon[phase]["cpu_s_per_1000"] - daemon["idle"]["cpu_s_per_1000"]

    off = [abs(run["watchtower"]["sent"] - run["watchtower"]["recorded"]["pictures"]) for run in recording]
    return [
        Goal("CPU, nothing happens, detection on", ratio(watching, lambda d: d["idle"]["cpu_s_per_1000"]), 0.40, 0.30),
        Goal("CPU, recording all the time", ratio(recording, lambda d: d["cpu_s_per_1000"]), 0.65, 0.55),
        Goal("CPU that 8 viewers add, camera's own JPEGs", ratio(watching, more("viewers_raw")), 0.30, 0.20),
        Goal("CPU that 8 viewers add, annotated", ratio(watching, more("viewers_annotated")), 1.0, 0.9),
        Goal("Memory, nothing happens", ratio(watching, lambda d: d["idle"]["memory_mib"]["rss"]), 1.0, 0.6),
        Goal("Memory, recording", ratio(recording, lambda d: d["memory_mib"]["rss"]), 1.0, 0.6),
        Goal("Pictures sent and not recorded, or recorded twice", off, 0, 0),
    ]


def watch(peers, task: Task, still, effort: Effort) -> dict:
    """Nothing moves; then viewers come: first annotated, then of the camera's own JPEGs."""
    with Bench(peers, task, still) as bench:
        bench.warm_up()
        found = {peer.name: {} for peer in peers}
        bench.measure(effort.pictures, "idle", found)
        for phase, raw in (("viewers_annotated", False), ("viewers_raw", True)):
            with ExitStack() as stack:
                views = {
                    d.kind.name: stack.enter_context(Viewers(d.kind.view(d.port, raw), VIEWERS)) for d in bench.daemons
                }
                bench.feed.wait_until(bench.feed.tick + 3 * FPS)
                before = {name: view.received() for name, view in views.items()}
                bench.measure(effort.pictures // 2, phase, found)
                for name, view in views.items():
                    pictures, size = (now - then for now, then in zip(view.received(), before[name], strict=True))
                    found[name][phase] |= {
                        "delivered": pictures,
                        "wanted": VIEWERS * (effort.pictures // 2),
                        "bytes_per_picture": round(size / max(1, pictures)),
                    }
            bench.feed.wait_until(bench.feed.tick + 2 * FPS)
        bench.end()
        return found | {"feed": bench.quality()}


def record(peers, task: Task, walked, effort: Effort) -> dict:
    """Recording all the time, with somebody walking through."""
    with Bench(peers, task, walked) as bench:
        bench.warm_up()
        found = {peer.name: {} for peer in peers}
        bench.measure(effort.pictures, None, found)
        bench.end()
        for daemon in bench.daemons:
            recorded = daemon.recorded()
            recorded["bytes_per_picture"] = round(recorded["bytes"] / max(1, recorded["pictures"]))
            found[daemon.kind.name] |= {"sent": bench.feed.sent(daemon.kind.name), "recorded": recorded}
        return found | {"feed": bench.quality()}


def record_alike(context, peers, task: Task, walked, effort: Effort) -> tuple[dict, Task]:
    """As `record`, with Watchtower's bit rate set to what motion's quality gives, once more where that was off."""
    for _ in range(4):
        run = _fair(context, lambda: record(peers, task, walked, effort))
        theirs, ours = (run[peer.name]["recorded"]["bytes_per_picture"] for peer in peers)
        run["kbit"] = task.kbit
        run["bytes_ratio"] = round(ours / theirs, 3)
        if MATCHED[0] <= run["bytes_ratio"] <= MATCHED[1]:
            return run, task
        context.say(f"bytes per picture: {theirs} by motion, {ours} at {task.kbit} kbit/s; matching")
        task = replace(task, kbit=round(task.kbit * 1.05 * theirs / ours))
    raise RuntimeError("the recordings' bytes per picture could not be matched")


def pre_roll_memory(still, task: Task) -> dict:
    """What motion needs to keep as much from before a trigger as Watchtower does. Not compared: only said."""
    with Bench([Motion()], task, still) as bench:
        bench.warm_up()
        return {"pre_roll_s": task.pre_roll_s, "memory_mib": procfs.memory_mib(bench.daemons[0].pid)}


class Bench:
    """One feed and the daemons on it, from `with` on."""

    def __init__(self, peers, task: Task, pictures):
        self._stack = ExitStack()
        self._peers, self._task, self._pictures = peers, task, pictures
        self.daemons: list[Daemon] = []
        self._waiting = 0

    def __enter__(self):
        try:
            folder = Path(tempfile.mkdtemp(prefix="bench-"))
            self._stack.callback(shutil.rmtree, folder)
            self.feed = self._stack.enter_context(Feed(self._pictures, self._task.fps))
            for peer in self._peers:
                at = running(peer, self._task, self.feed.url(peer.name), folder / peer.name)
                self.daemons.append(self._stack.enter_context(at))
            return self
        except BaseException:
            self._stack.close()
            raise

    def __exit__(self, *error):
        self._stack.close()

    def warm_up(self) -> None:
        """Until everybody has pictures and a quiet start."""
        for daemon in self.daemons:
            wait_for_port(daemon)
        while not all(self.feed.sent(peer.name) for peer in self._peers):
            for daemon in self.daemons:
                daemon.check()
            self.feed.wait_until(self.feed.tick + 1)
        self.feed.wait_until(self.feed.tick + WARM_UP_S * self._task.fps)

    def measure(self, pictures: int, phase: str | None, found: dict) -> None:
        """CPU over so many pictures, memory at their end; into `found[NAME]`, or `found[NAME][phase]`."""
        begin = self.feed.tick
        before = {d.kind.name: (procfs.cpu(d.pid), procfs.switches(d.pid)) for d in self.daemons}
        self.feed.wait_until(begin + pictures)
        seen = self.feed.tick - begin
        for daemon in self.daemons:
            daemon.check()
            cpu, woken = before[daemon.kind.name]
            used = procfs.cpu(daemon.pid) - cpu
            self._waiting = max(self._waiting, self.feed.waiting(daemon.kind.name))
            values = {
                "cpu_s_per_1000": round(used.total_s / seen * 1000, 3),
                "user": round(used.user_s / seen * 1000, 3),
                "system": round(used.system_s / seen * 1000, 3),
                "wakes_per_picture": round((procfs.switches(daemon.pid) - woken) / seen, 1),
                "memory_mib": procfs.memory_mib(daemon.pid),
            }
            place = found[daemon.kind.name]
            (place if phase is None else place.setdefault(phase, {})).update(values)

    def end(self) -> None:
        """No more pictures; what was sent is worked off, then everything ends in order."""
        self.feed.pause()
        time.sleep(LAST_WORK_S)
        for daemon in self.daemons:
            daemon.end()

    def quality(self) -> dict:
        """How well the feed kept its rate, and the daemons theirs."""
        return {"pictures": self.feed.tick, "worst_delay_s": self.feed.worst_delay_s, "worst_waiting": self._waiting}


def _fair(context, run, attempts: int = 3) -> dict:
    """Repeats a run in which the machine was too busy to feed the daemons in time."""
    for _ in range(attempts):
        found = run()
        feed = found["feed"]
        if feed["worst_delay_s"] <= WORST_DELAY_S and feed["worst_waiting"] <= WORST_WAITING:
            return found
        context.say(f"not a fair run, the machine was too busy: {feed}")
    raise RuntimeError("the machine is too busy to measure on")
