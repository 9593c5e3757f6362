"""The appliance for as long as it is told, with recordings and a viewer: memory, descriptors and threads of its services have to stay flat."""

import http.client
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, HERE)

import appliance
from guest import OUT, read, until

SERVICES = [unit for unit in appliance.SERVICES if unit != "nginx.service"]  # its workers are not its main process
EVERY_S = 10
RECORD_EVERY = 4  # samples
# From the second third of the time to the last. Caches fill and GOPs differ; a leak goes on.
MORE = {"memory_kb": 1024, "descriptors": 2, "threads": 2}


def sample(pids):
    found = {}
    for unit, pid in pids.items():
        status = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines())
        found[unit] = {"memory_kb": int(status["RssAnon"].split()[0]), "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}
    return found


class Viewer(threading.Thread):
    """Looks at one camera after the other, for a minute each, as a browser without H.264 would."""

    def __init__(self, names):
        super().__init__(daemon=True)
        self.names, self.bytes = names, dict.fromkeys(names, 0)

    def run(self):
        while True:
            for name in self.names:
                connection = http.client.HTTPSConnection(appliance.HOST, timeout=60, context=appliance.tls())
                connection.request("GET", f"/cameras/{name}/mjpeg")
                answer, end = connection.getresponse(), time.monotonic() + 60
                while time.monotonic() < end and (data := answer.read1(65536)):
                    self.bytes[name] += len(data)
                connection.close()


def main():
    minutes = float(read(f"{HERE}/minutes"))
    appliance.up()
    names = list(appliance.DEVICES)
    for name in names:
        until(lambda: appliance.delivers(name), f"picture of {name}")
    pids = {unit: appliance.main_pid(unit) for unit in SERVICES}
    viewer = Viewer(names)
    viewer.start()
    samples, began = [], time.monotonic()
    while (passed := time.monotonic() - began) < minutes * 60:
        name = names[len(samples) // RECORD_EVERY % len(names)]
        if len(samples) % RECORD_EVERY == 0:
            print(f"{passed / 60:.1f} of {minutes:g} minutes", flush=True)
            appliance.call("POST", f"/cameras/{name}/api/record")
        appliance.call("GET", f"/cameras/{name}/api/snapshot.jpg")
        samples.append(sample(pids))
        time.sleep(EVERY_S)
    third = max(1, len(samples) // 3)
    faults, figures = [], {}
    for unit in SERVICES:
        assert appliance.main_pid(unit) == pids[unit], f"{unit} was restarted"
        for what, more in MORE.items():
            early, late = (max(s[unit][what] for s in part) for part in (samples[third : 2 * third] or samples, samples[-third:]))
            figures[f"{unit.removesuffix('.service')} {what}"] = [early, late]
            if late > early + more:
                faults.append(f"{unit}: {what} went from {early} to {late}")
    for name in names:
        until(lambda: appliance.delivers(name), f"picture of {name}")
        until(lambda: not any(r["recording"] for r in appliance.recordings(name)), f"end of {name}'s recordings")
        newest = max(r["id"] for r in appliance.recordings(name))
        assert appliance.plays(name, newest)[0] and viewer.bytes[name] > 10_000, f"{name}: {newest}, {viewer.bytes}"
    with open(f"{OUT}/counted.jsonl", "a") as file:
        what = f"{minutes:g} minutes of work, cameras recorded and looked at in turn: samples of the services' memory, descriptors and threads, which stay flat"
        file.write(json.dumps({"what": what, "times": len(samples), "failures": len(faults), "worst_s": None, "limit_s": None, "figures": figures}) + "\n")
    print(json.dumps(figures, indent=2))
    print(f"{int(not faults)} passed, {int(bool(faults))} failed", *faults, sep="\n", flush=True)
    sys.exit(1 if faults else 0)


main()
