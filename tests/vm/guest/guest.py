"""What every test in the machine uses: programs, patience, and the record of what was counted and measured."""

import contextlib
import json
import os
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.environ.get("OUT", "/run/out")
WATCHTOWER = f"{HERE}/watchtower"
BOARD = f"{HERE}/board"  # exists where the microcontroller is attached outside
PATIENCE_S = 120


def until(condition, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {patience_s} s")
        time.sleep(0.2)
    return result


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **{"timeout": PATIENCE_S} | options)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read().strip()


def rounds():
    """How often each fault is made."""
    return int(read(f"{HERE}/rounds"))


class Counted:
    """Something that is done again and again. A round that fails is counted and told, and the next one comes."""

    def __init__(self, what, limit_s=None):
        self.what, self.limit_s = what, limit_s
        self.times, self.seconds, self.failures = 0, [], []

    @contextlib.contextmanager
    def round(self):
        self.times += 1
        try:
            yield
        except Exception as error:
            self.failures.append(f"round {self.times}: {type(error).__name__}: {error}")
            print(f"{self.what}: {self.failures[-1]}", flush=True)

    @contextlib.contextmanager
    def again(self):
        """A check of what the rounds left: no further one, but it fails them."""
        with self.round():
            self.times -= 1
            yield

    def took(self, seconds):
        self.seconds.append(seconds)
        if self.limit_s is not None and seconds > self.limit_s:
            raise AssertionError(f"{seconds:.1f} s, where {self.limit_s} are allowed")

    def end(self):
        """Writes it down; fails where a round did."""
        worst = round(max(self.seconds), 2) if self.seconds else None
        entry = {"what": self.what, "times": self.times, "failures": len(self.failures), "worst_s": worst, "limit_s": self.limit_s}
        with open(f"{OUT}/counted.jsonl", "a") as file:
            file.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)
        assert self.times and not self.failures, "; ".join(self.failures) or "nothing was done"
