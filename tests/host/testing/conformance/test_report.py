# ruff: noqa: ARG002 - stand-ins take what protocols give them
from __future__ import annotations

import subprocess
import sys

import pytest
from stretto.host.testing.conformance.report import BreachError, Checks, Listener, Report, SkippedError


class Heard(Listener):
    def __init__(self) -> None:
        self.lines = []

    def begun(self, kind, name, check):
        self.lines.append(("begun", check))

    def ended(self, row):
        self.lines.append((row.outcome, row.check))


def fails(error):
    raise error


def test_each_check_is_a_row_with_its_cost_and_is_heard_before_and_after():
    heard = Heard()
    checks = Checks("upscaler", "mine", heard)
    assert checks.run("it passes", lambda: 7) == 7
    assert checks.run("it breaks", lambda: fails(BreachError("mend it"))) is None
    assert checks.run("it needs", lambda: fails(SkippedError("needs a file"))) is None
    assert checks.run("it raises", lambda: fails(KeyError("x"))) is None
    passes, breaks, needs, raised = checks.report().rows
    assert (passes.outcome, passes.seconds > 0) == ("passed", True)
    assert (breaks.outcome, breaks.detail) == ("failed", "mend it")
    assert (needs.outcome, needs.detail) == ("skipped", "needs a file")
    assert (raised.outcome, raised.detail) == ("failed", "raised KeyError: 'x'")
    assert heard.lines[:2] == [("begun", "it passes"), ("passed", "it passes")]
    assert heard.lines[-1] == ("failed", "it raises")


def test_what_the_process_grows_by_is_the_cost_of_a_check():
    # in a process of its own: in this one, what other tests leave behind may be freed meanwhile
    code = (
        "from stretto.host.testing.conformance.report import Checks\n"
        "checks = Checks('upscaler', 'mine')\n"
        "checks.run('it grows', lambda: len(bytearray(64 * 2**20)))\n"
        "print(checks.report().rows[0].peak_bytes)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 60 * 2**20 <= int(told.stdout) < 100 * 2**20


def test_the_memory_of_another_process_counts_and_one_that_has_ended_is_no_matter():
    code = "import sys; sys.stdin.read(1); x = bytearray(64 * 2**20); print(len(x), flush=True); sys.stdin.read(1)"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    checks = Checks("upscaler", "mine", processes=lambda: (other.pid,))

    def told(word):
        other.stdin.write(word)
        other.stdin.flush()
        return other.stdout.readline()

    checks.run("it grows there", lambda: told(b"x"))
    checks.run("it ends there", lambda: (told(b"x"), other.wait()))
    checks.run("it is gone", lambda: None)
    other.stdin.close()
    other.stdout.close()
    grows, ends, gone = checks.report().rows
    assert grows.peak_bytes >= 60 * 2**20
    assert (ends.outcome, gone.outcome) == ("passed", "passed")


def test_all_breaches_are_raised_together():
    checks = Checks("upscaler", "mine")
    checks.run("one", lambda: fails(BreachError("do this")))
    checks.run("two", lambda: fails(BreachError("do that")))
    checks.run("three", lambda: None)
    report = checks.report()
    with pytest.raises(AssertionError) as raised:
        report.require()
    assert str(raised.value).splitlines() == [
        "2 of 3 checks failed:",
        "  upscaler 'mine': one: do this",
        "  upscaler 'mine': two: do that",
    ]
    assert Report(report.rows[2:]).require().skipped == ()
