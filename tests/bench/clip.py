"""The clips that everything is measured on: a detailed scene before a fixed camera, and somebody who walks through it.

Drawn, not fetched, and the same on every machine: the random numbers have a fixed seed. A clip loops without a seam: its
light drifts a whole number of periods, and the walker is out of the picture at both ends. Kept below `target/bench/`,
made anew when this file changes.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

# What a webcam's sensor leaves in daylight, in grey levels.
NOISE = 2.0
# The sun behind thin clouds, in grey levels to either side.
DRIFT = 4.0
# Blur of a webcam's lens: standard deviation in picture heights.
LENS = 0.001
SEED = 20260101


@dataclass(frozen=True)
class Clip:
    """A clip on disk."""

    path: Path
    size: tuple[int, int]
    # Bytes of each JPEG, in order; raw I420 pictures all have the same.
    lengths: list[int]
    # Pictures [first, last) with the walker in view; `None` when there is no walker.
    walk: tuple[int, int] | None
    sha256: str

    def pictures(self) -> list[bytes]:
        """Every picture, in order."""
        data, out, at = self.path.read_bytes(), [], 0
        for length in self.lengths:
            out.append(data[at : at + length])
            at += length
        return out

    def summary(self) -> dict:
        """What is written down of it beside the results."""
        mean = round(sum(self.lengths) / len(self.lengths))
        return {"size": list(self.size), "pictures": len(self.lengths), "bytes_per_picture": mean, "sha256": self.sha256}


def mjpeg(folder: Path, size: tuple[int, int], frames: int, walk: tuple[int, int] | None, quality: int) -> Clip:
    """4:2:2 JPEGs as USB cameras make them, one after the other."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        cv2.IMWRITE_JPEG_OPTIMIZE,
        0,
    ]

    def compress(picture: np.ndarray) -> bytes:
        return cv2.imencode(".jpg", picture, options)[1].tobytes()

    return _kept(folder, "mjpeg", size, frames, walk, quality, compress)


def i420(folder: Path, size: tuple[int, int], frames: int, walk: tuple[int, int] | None) -> Clip:
    """Raw planar pictures, one after the other."""

    def planes(picture: np.ndarray) -> bytes:
        return cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()

    return _kept(folder, "i420", size, frames, walk, 0, planes)


def _kept(folder, kind, size, frames, walk, quality, pack) -> Clip:
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    key = {"kind": kind, "size": list(size), "frames": frames, "walk": walk, "quality": quality, "made_by": made_by}
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    path, index = folder / f"{name}.{kind}", folder / f"{name}.json"
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Drawing {frames} pictures of {size[0]}x{size[1]} into {path}", flush=True)
        lengths, digest = [], hashlib.sha256()
        with path.open("wb") as out:
            for picture in draw(size, frames, walk):
                packed = pack(picture)
                out.write(packed)
                digest.update(packed)
                lengths.append(len(packed))
        index.write_text(json.dumps({"lengths": lengths, "sha256": digest.hexdigest()}))
    kept = json.loads(index.read_text())
    return Clip(path, size, kept["lengths"], walk, kept["sha256"])


def draw(size: tuple[int, int], frames: int, walk: tuple[int, int] | None):
    """Yields BGR pictures."""
    width, height = size
    rng = np.random.default_rng(SEED)
    still = _scene(width, height, rng)
    for n in range(frames):
        picture = still
        if walk is not None and walk[0] <= n < walk[1]:
            picture = still.copy()
            _walker(picture, (n - walk[0]) / (walk[1] - walk[0]), n)
        picture = cv2.GaussianBlur(picture, (0, 0), LENS * height)
        light = rng.standard_normal((height, width), dtype=np.float32) * NOISE
        light += DRIFT * math.sin(2 * math.pi * n / frames)
        yield cv2.add(picture, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def _scene(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Sky, a brick house, a lawn, a path, and bare trees before it all: edges of every size and direction."""
    horizon = int(height * 0.45)
    scene = np.empty((height, width, 3), np.float32)
    scene[:horizon] = np.linspace((225, 205, 185), (235, 225, 215), horizon)[:, None]
    scene[horizon:] = np.linspace((70, 105, 85), (60, 120, 100), height - horizon)[:, None]
    _house(scene, horizon, width, height, rng)
    corners = [(0.40, 0.52), (0.50, 0.52), (0.80, 1.0), (0.20, 1.0)]
    path = np.array([[int(x * width), int(y * height)] for x, y in corners], np.int32)
    cv2.fillPoly(scene, [path], (135, 140, 145))
    # Grass, gravel, bark: texture at several sizes.
    for cell, strength in ((2, 6), (4, 7), (12, 7), (48, 8)):
        small = rng.normal(0, strength, (height // cell + 2, width // cell + 2)).astype(np.float32)
        texture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        texture[: int(height * 0.4)] *= 0.35
        scene += texture[..., None]
    for trunk in (0.06, 0.33, 0.58, 0.93):
        _branch(scene, trunk * width, height * 0.75, -math.pi / 2, height * 0.17, height / 40, rng)
    return np.clip(scene, 0, 255).astype(np.uint8)


def _house(scene, horizon, width, height, rng) -> None:
    left, right, top, bottom = int(width * 0.62), int(width * 0.88), int(height * 0.18), horizon + height // 12
    row = max(6, height // 90)
    for n, y in enumerate(range(top, bottom, row)):
        for x in range(left - (n % 2) * row, right, 2 * row):
            shade = rng.normal(0, 10)
            colour = (70 + shade, 85 + shade, 150 + shade)
            cv2.rectangle(scene, (max(x, left), y), (min(x + 2 * row - 2, right), y + row - 2), colour, cv2.FILLED)
    for column in range(3):
        for floor in range(2):
            x = left + int((right - left) * (0.1 + 0.3 * column))
            y = top + int((bottom - top) * (0.12 + 0.45 * floor))
            w, h = (right - left) // 6, (bottom - top) // 4
            cv2.rectangle(scene, (x, y), (x + w, y + h), (60, 50, 40), cv2.FILLED)
            cv2.rectangle(scene, (x, y), (x + w, y + h), (230, 235, 235), max(2, height // 240))
            cv2.line(scene, (x + w // 2, y), (x + w // 2, y + h), (230, 235, 235), max(1, height // 360))


def _branch(scene, x, y, angle, length, thickness, rng) -> None:
    if thickness < 0.6:
        return
    end = (x + length * math.cos(angle), y + length * math.sin(angle))
    shade = rng.normal(0, 8)
    colour = (50 + shade, 60 + shade, 70 + shade)
    line = ((int(x), int(y)), (int(end[0]), int(end[1])))
    cv2.line(scene, *line, colour, max(1, round(thickness)))
    for _ in range(3):
        _branch(scene, *end, angle + rng.normal(0, 0.55), length * rng.uniform(0.6, 0.85), thickness * 0.62, rng)


def _walker(picture: np.ndarray, progress: float, step: int) -> None:
    """A person half the picture high, from beyond one edge to beyond the other."""
    height, width = picture.shape[:2]
    tall = height / 2
    x = -tall / 2 + progress * (width + tall)
    feet = height * 0.9 + 0.01 * height * math.sin(step * 0.6)
    swing = 0.45 * math.sin(step * 0.3)
    hip, neck = feet - tall * 0.48, feet - tall * 0.84

    def limb(top, angle, length, colour, thickness):
        bottom = (int(x + length * tall * math.sin(angle)), int(top + length * tall * math.cos(angle)))
        cv2.line(picture, (int(x), int(top)), bottom, colour, max(2, int(thickness * tall)))

    cv2.ellipse(picture, (int(x), int(feet)), (int(tall * 0.25), int(tall * 0.04)), 0, 0, 360, (55, 85, 75), cv2.FILLED)
    limb(hip, swing, 0.48, (95, 60, 45), 0.09)
    limb(hip, -swing, 0.48, (80, 50, 38), 0.09)
    limb(neck, -swing, 0.38, (50, 45, 140), 0.06)
    body = ((int(x - tall * 0.1), int(neck)), (int(x + tall * 0.1), int(hip + tall * 0.03)))
    cv2.rectangle(picture, *body, (45, 40, 165), cv2.FILLED)
    limb(neck, swing, 0.38, (55, 50, 180), 0.06)
    cv2.circle(picture, (int(x), int(neck - tall * 0.08)), int(tall * 0.075), (140, 165, 205), cv2.FILLED)
