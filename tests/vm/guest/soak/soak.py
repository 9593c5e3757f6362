"""The appliance for as long as it is told, with recordings and a viewer: memory, descriptors and threads of its services have to stay flat."""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, HERE)

import appliance
from guest import OUT, read, until

SERVICES = [unit for unit in appliance.SERVICES if unit != "nginx.service"]  # its workers are not its main process
EVERY_S = 10
RECORD_EVERY = 4  # samples
# Caches fill and GOPs differ; a leak goes on.
MORE = {"memory_kb": 4096, "descriptors": 2, "threads": 2}


def sample(pids):
    found = {}
    for unit, pid in pids.items():
        status = dict(line.split(":", 1) for line in read(f"/proc/{pid}/status").splitlines())
        found[unit] = {"memory_kb": int(status["VmRSS"].split()[0]), "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}
    return found


def main():
    minutes = float(read(f"{HERE}/minutes"))
    appliance.up()
    names = list(appliance.DEVICES)
    for name in names:
        until(lambda: appliance.delivers(name), f"picture of {name}")
    pids = {unit: appliance.main_pid(unit) for unit in SERVICES}
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
    faults, summary = [], {}
    for unit in SERVICES:
        assert appliance.main_pid(unit) == pids[unit], f"{unit} was restarted"
        for what, more in MORE.items():
            early, late = (max(s[unit][what] for s in part) for part in (samples[third : 2 * third] or samples, samples[-third:]))
            summary[f"{unit.removesuffix('.service')} {what}"] = [early, late]
            if late > early + more:
                faults.append(f"{unit}: {what} went from {early} to {late}")
    with open(f"{OUT}/counted.jsonl", "a") as file:
        what = f"{minutes:g} minutes of work, cameras recorded in turn: samples of the services' memory, descriptors and threads, which stay flat"
        file.write(json.dumps({"what": what, "times": len(samples), "failures": len(faults), "worst_s": None, "limit_s": None}) + "\n")
    with open(f"{OUT}/soak.json", "w") as file:
        json.dump({"minutes": minutes, "second and last third, most": summary}, file, indent=2)
    print(json.dumps(summary, indent=2))
    print(f"{int(not faults)} passed, {int(bool(faults))} failed", *faults, sep="\n", flush=True)
    sys.exit(1 if faults else 0)


main()
