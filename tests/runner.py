"""Runs the named tests, or all of the current folder, and ends with the line "N passed, N failed"."""

import os
import sys
import unittest

sys.path.insert(0, os.getcwd())


class Result(unittest.TextTestResult):
    passed = 0

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"SKIPPED {test.id()}: {reason}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


loader = unittest.TestLoader()
suite = loader.loadTestsFromNames(sys.argv[1:]) if sys.argv[1:] else loader.discover(".")
result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
failed = len({test.id().split(" ")[0] for test, _ in result.failures + result.errors})
print(f"{result.passed} passed, {failed} failed", flush=True)
sys.exit(0 if result.passed and not failed and not loader.errors else 1)
