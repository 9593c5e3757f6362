"""Runs the named tests, and ends with the line "N passed, N failed"."""

import os
import sys
import unittest


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
in_machines = {name for line in open("machines") if not line.startswith("#") for name in line.split()[1:]}
assert there == in_machines, f"in no machine, or missing: {there ^ in_machines}"
loader = unittest.TestLoader()
suite = loader.loadTestsFromNames(sys.argv[1:])
result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
print(f"{result.passed} passed, {failed} failed", flush=True)
sys.exit(0 if result.passed and not failed and not loader.errors else 1)
