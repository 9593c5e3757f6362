"""The daemons that are compared: how each is started on a feed, watched, and what it leaves on disk."""

import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# JPEG quality of motion's pictures for viewers: that of Watchtower's where it compresses them.
VIEW_QUALITY = 80
# What a daemon gets to finish its files.
END_S = 20


@dataclass(frozen=True)
class Task:
    """What a daemon is to do."""

    size: tuple[int, int]
    fps: int
    # Record from the first picture on; otherwise only when something moves.
    record: bool = False
    # Bit rate asked of Watchtower's encoder.
    kbit: int = 2000
    # Quality asked of motion's encoder, 1 to 100: it knows no bit rate for H.264.
    quality: int = 42
    # Seconds of pictures motion keeps from before a trigger. Watchtower always keeps its own.
    pre_roll_s: int = 0


class Motion:
    """Debian's `motion`, with what costs it time unasked turned off: pictures of events, the control interface."""

    name = "motion"

    def version(self) -> str:
        out = subprocess.run(["motion", "-h"], capture_output=True, text=True).stdout
        return out.split(",")[0].strip()

    def command(self, task: Task, feed: str, folder: Path, port: int) -> list[str]:
        width, height = task.size
        settings = {
            "daemon": "off",
            "log_level": 5,
            "netcam_url": feed,
            "netcam_keepalive": "off",
            "width": width,
            "height": height,
            "framerate": task.fps,
            "target_dir": folder,
            "threshold": width * height // 200,
            "noise_level": 32,
            "text_left": "garden",
            "text_right": "%Y-%m-%d %T",
            "picture_output": "off",
            "movie_output": "on" if task.record else "off",
            "movie_codec": "mp4",
            "movie_max_time": 60,
            "movie_quality": task.quality,
            "emulate_motion": "on" if task.record else "off",
            "pre_capture": task.pre_roll_s * task.fps,
            "post_capture": task.fps,
            "webcontrol_port": 0,
            "stream_port": port,
            "stream_localhost": "on",
            # More than the feed's rate would be the same pictures again.
            "stream_maxrate": task.fps,
            "stream_quality": VIEW_QUALITY,
        }
        config = folder / "motion.conf"
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        return ["motion", "-n", "-c", str(config)]

    def view(self, port: int, raw: bool) -> str:
        # It has one stream only, annotated.
        return f"http://127.0.0.1:{port}/"

    def videos(self, folder: Path) -> list[Path]:
        return sorted(folder.glob("*.mp4"))


class Watchtower:
    """This project, as `watchtower demo` starts it."""

    name = "watchtower"

    def __init__(self, binary: Path):
        self.binary = binary

    def version(self) -> str:
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip()

    def command(self, task: Task, feed: str, folder: Path, port: int) -> list[str]:
        width, height = task.size
        command = [str(self.binary), "demo", "--source", feed, "--data", str(folder), "--listen", f"127.0.0.1:{port}"]
        command += ["--size", f"{width}x{height}", "--fps", str(task.fps), "--bitrate", str(task.kbit)]
        return command + ["--record-always"] * task.record

    def view(self, port: int, raw: bool) -> str:
        return f"http://127.0.0.1:{port}/mjpeg" + "?raw=1" * raw

    def videos(self, folder: Path) -> list[Path]:
        return sorted(folder.glob("recordings/**/video.h264"))


@dataclass
class Daemon:
    """A daemon that runs."""

    kind: Motion | Watchtower
    process: subprocess.Popen
    folder: Path
    port: int
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises with the end of its log when it has ended."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.kind.name} has ended with status {self.process.returncode}:\n{tail}")

    def end(self) -> None:
        """SIGTERM, and waits until its files are finished."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError(f"{self.kind.name} does not end within {END_S} s of SIGTERM") from None

    def recorded(self) -> dict[str, int]:
        """Files, pictures in them, and bytes."""
        videos = self.kind.videos(self.folder)
        return {
            "files": len(videos),
            "pictures": sum(_pictures(video) for video in videos),
            "bytes": sum(video.stat().st_size for video in videos),
        }


@contextmanager
def running(kind: Motion | Watchtower, task: Task, feed: str, folder: Path):
    """A daemon at work; killed at the end where it still runs."""
    folder.mkdir(parents=True)
    port, log = _free_port(), folder.parent / f"{folder.name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(kind.command(task, feed, folder, port), stdout=out, stderr=out)
    try:
        yield Daemon(kind, process, folder, port, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for_port(daemon: Daemon, timeout_s: float = 20) -> None:
    """Until it accepts connections."""
    until = time.monotonic() + timeout_s
    while True:
        daemon.check()
        try:
            socket.create_connection(("127.0.0.1", daemon.port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise RuntimeError(f"{daemon.kind.name} does not listen on port {daemon.port}") from None
            time.sleep(0.1)


def _pictures(video: Path) -> int:
    probe = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_packets"]
    probe += ["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", str(video)]
    return int(subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip().split(",")[0] or 0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
