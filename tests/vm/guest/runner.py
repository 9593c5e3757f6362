"""Runs the named tests, or all of this folder, and ends with the line "N passed, N failed"."""

import os
import sys
import unittest

# The parts alone first: they bring drivers of their own. Then the appliance, from whole to broken; the journal of it all comes last.
ORDER = ["test_encoder", "test_fan", "test_sandbox", "test_cameras", "test_gateway", "test_serial", "test_appliance_fan", "test_faults", "test_kills",
         "test_clock_and_disk", "test_journal"]


class Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    # At once: a machine that dies later would keep it to itself.
    def addError(self, test, error):
        super().addError(test, error)
        print(self.errors[-1][1], flush=True)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        print(self.failures[-1][1], flush=True)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            print((self.failures + self.errors)[-1][1], flush=True)

    def printErrors(self):
        pass


there = {name[:-3] for name in os.listdir() if name.startswith("test_") and name.endswith(".py")}
assert there == set(ORDER), f"not in the order of the tests, or missing: {there ^ set(ORDER)}"
loader = unittest.TestLoader()
suite = loader.loadTestsFromNames(sys.argv[1:] or ORDER)
result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
print(f"{result.passed} passed, {failed} failed", flush=True)
sys.exit(0 if result.passed and not failed and not loader.errors else 1)
