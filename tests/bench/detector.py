"""The motion detector alone, on full-size luma, beside the OpenCV pipeline that Watchtower 1.x ran.

1.x on a picture in memory: to quarter size, grey, blurred, the difference from a base picture, a threshold, dilated,
outlines, the areas of these. Watchtower: luma to quarter size, one look. Same frames, one thread each, in turns.
"""

import json
import statistics
import subprocess
import time

import cv2
import numpy as np

import clip
from report import Goal, Section

NAME = "detector"
TITLE = "The motion detector beside OpenCV"
NEEDS_COMMANDS = {}

SIZE, FRAMES, WALK = (1640, 1232), 40, (10, 40)
# 1.x's sensitivity of 0.8 as a threshold in grey levels, and its smallest area.
THRESHOLD, MIN_AREA = 51, 0.02


def measure(context) -> Section:
    """In turns: a round of theirs, a round of ours."""
    rounds, passes = (1, 2) if context.quick else (5, 5)
    frames = clip.i420(context.folder / "clips", SIZE, FRAMES, WALK)
    pictures = [cv2.cvtColor(planes(picture), cv2.COLOR_YUV2BGR_I420) for picture in frames.pictures()]
    by_area, by_four = (Original(pictures, way) for way in (cv2.INTER_AREA, cv2.INTER_LINEAR))
    # Built before anything is timed.
    subprocess.run([*cargo_bench(context), "--no-run"], check=True)
    runs = []
    for number in range(rounds):
        context.say(f"round {number + 1} of {rounds}")
        opencv, linear = by_area.round(passes), by_four.round(passes)
        runs.append({"opencv": opencv, "opencv_linear": linear, "watchtower": ask(context, frames, passes)})
    return Section(
        NAME,
        TITLE,
        setting={
            "size": f"{SIZE[0]}x{SIZE[1]}",
            "frames": FRAMES,
            "passes_per_round": passes,
            "versions": {"opencv": cv2.__version__, "numpy": np.__version__},
            "clip": frames.summary(),
        },
        goals=[Goal("CPU of one look at 1640x1232", ratios(runs, "opencv"), 0.25, 0.16)],
        extra={"ratio_to_linear_reduction": ratios(runs, "opencv_linear")},
        runs={"rounds": runs},
    )


def ratios(runs: list[dict], peer: str) -> list[float]:
    """Watchtower's median time of a round to the peer's."""

    def ms(run: dict, whose: str) -> float:
        return statistics.median(run[whose]["ms_per_look"])

    return [round(ms(run, "watchtower") / ms(run, peer), 3) for run in runs]


def planes(picture: bytes) -> np.ndarray:
    """Raw I420 as OpenCV takes it."""
    return np.frombuffer(picture, np.uint8).reshape(SIZE[1] * 3 // 2, SIZE[0])


class Original:
    """What 1.x did with each picture."""

    def __init__(self, pictures: list[np.ndarray], interpolation: int):
        cv2.setNumThreads(1)
        self.pictures = pictures
        self.interpolation = interpolation
        self.quarter = (SIZE[0] // 4, SIZE[1] // 4)
        self.base = self.prepared(pictures[0])

    def prepared(self, picture: np.ndarray) -> np.ndarray:
        small = cv2.resize(picture, self.quarter, interpolation=self.interpolation)
        return cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (21, 21), 0)

    def moves(self, picture: np.ndarray) -> bool:
        difference = cv2.absdiff(self.base, self.prepared(picture))
        mask = cv2.threshold(difference, THRESHOLD, 255, cv2.THRESH_BINARY)[1]
        mask = cv2.dilate(mask, None, iterations=2)
        outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        smallest = MIN_AREA * self.quarter[0] * self.quarter[1]
        return any(cv2.contourArea(outline) >= smallest for outline in outlines)

    def round(self, passes: int) -> dict:
        """CPU milliseconds a picture of each pass, after one that is not counted."""
        spent, moving = [], 0
        for _ in range(passes + 1):
            begin = time.process_time()
            moving = sum(self.moves(picture) for picture in self.pictures)
            spent.append((time.process_time() - begin) * 1000 / len(self.pictures))
        return {"ms_per_look": [round(ms, 4) for ms in spent[1:]], "looks": len(self.pictures), "with_motion": moving}


def cargo_bench(context) -> list[str]:
    manifest = str(context.top / "Cargo.toml")
    return ["cargo", "bench", "--locked", "--quiet", "--manifest-path", manifest, "--bench", "detector"]


def ask(context, frames: clip.Clip, passes: int) -> dict:
    """One round of `detector.rs`."""
    command = [*cargo_bench(context), "--", str(frames.path), f"{SIZE[0]}x{SIZE[1]}", str(passes)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found["ms_per_look"] = [round(ms, 4) for ms in found["ms_per_look"]]
    return found
