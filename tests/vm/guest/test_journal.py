"""Last of all: no error stands in the journal that nobody has explained."""

import json
import re
import unittest

from appliance import SERVICES, ApplianceTest
from guest import HERE, read, run

# Whose, what, why: an error that is the test machine's and no board's, or that one of the named tests makes.
EXPLAINED = [
    (r"kernel", r"^schedule_timeout: wrong timeout value", "vivid computes a negative pause when its thread comes late; the kernel says so and goes on", ()),
    (r"watchtower(-serial|-fan)?\.service|nginx\.service", r"Failed with result 'signal'", "they kill it", ("test_kills", "test_appliance_fan")),
    (r"watchtower", r"(recording stopped; it goes on when it can|the event's end is not on disk).*the disk is full", "it fills the disk", ("test_clock_and_disk",)),
]
RAN = read(f"{HERE}/wanted").split()
OURS = [unit.removesuffix(".service") for unit in SERVICES]


def explained(about, message):
    return any(re.search(unit, about) and re.search(text, message) and (not tests or set(tests) & set(RAN)) for unit, text, _, tests in EXPLAINED)


class Journal(ApplianceTest):
    def entries(self, *which):
        for line in run("journalctl", "-b", "--no-pager", "-o", "json", *which).stdout.splitlines():
            entry = json.loads(line)
            message = entry.get("MESSAGE")
            yield entry, message if isinstance(message, str) else bytes(message or []).decode("utf8", "replace")

    def test_no_error_is_unexplained(self):
        left = []
        for entry, message in self.entries("-p", "err"):
            about = entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or entry.get("SYSLOG_IDENTIFIER", "")
            if not explained(about, message):
                left.append(f"{about}: {message}")
        self.assertEqual(left, [], "\n".join(left))

    def test_the_kernel_had_no_fault(self):
        faults = [message for _, message in self.entries("-k") if re.search(r"\bBUG\b|WARNING: CPU|Oops|Out of memory|refcount_t|use-after-free", message)]
        self.assertEqual(faults, [])

    def test_our_services_had_none(self):
        seen = 0
        for unit in OURS:
            for _, message in self.entries("-u", f"{unit}.service", "_TRANSPORT=stdout"):
                seen += 1
                if not explained(unit, message):
                    self.assertNotRegex(message, r"\bERROR\b|panicked|\[(emerg|alert|crit)\]", unit)
        self.assertGreater(seen, 20)


if __name__ == "__main__":
    unittest.main()
