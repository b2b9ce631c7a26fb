r"""Every figure that has a goal, measured again in one run: one table of what was reached, the floor and the goal.

    python benchmarks/all.py [--size 100] [--runs 3] [--generator PROGRAM] [--markdown FILE]

For all rows Python needs the extra ``fast`` (hyperscan) and ``rg`` (``--rg PATH``, or beside Python: the wheel
``ripgrep``); rows that lack something are left out and named. Commands of one row run in turn, so that a busy machine
slows all of them; ratios are medians of pairs. What is small (rows 15 to 19) is measured as CPU time, with children,
over bare Python. ``--size`` is the size of the logs in MB; the goals were set on 1000. Logs and patterns are those of
``explain.py``, whose mixed log is the denser one; ``--generator`` takes another program that writes them, called as
``PROGRAM --size 100MB --variant mixed --out FILE`` and ``PROGRAM --patterns 60 --pattern-syntax rg|ere|literals --out
FILE``. The other programs here measure the same in more detail: ``explain.py``, ``start.py``, ``check.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import explain
import start

SEARCH = """
import os, sys
from sgldoctor.log import read
with open(sys.argv[1], "rb") as stream:
    anchors = stream.read().splitlines()
print(len(read([sys.argv[2]], anchors).events))
"""
"""Searching alone: the log, the engine, and as many anchors as are asked for."""
SCANS = {
    "ours": """
import os, sys
from sgldoctor.probe.packages import packages
from sgldoctor.probe.target import Target
site = sys.argv[1]
prefix = os.path.dirname(os.path.dirname(os.path.dirname(site)))
facts = packages(Target("/", "", prefix, (site,), "3.11", {}, "", "venv"))
sys.stderr.write(str(facts.seconds["packages"]))
""",
    "importlib.metadata": """
import sys, time
begin = time.perf_counter()
import importlib.metadata
found = [(one.metadata["Name"], one.version) for one in importlib.metadata.distributions(path=[sys.argv[1]])]
sys.stderr.write(str(time.perf_counter() - begin))
""",
}


class Figure(NamedTuple):
    """One row. ``more`` says whether a larger figure is the better one."""

    number: int
    what: str
    reached: float
    floor: float
    goal: float
    unit: str = "x"
    more: bool = True

    @property
    def verdict(self) -> str:
        """What of the two was reached."""
        sign = 1 if self.more else -1
        if sign * self.reached >= sign * self.goal:
            return "goal"
        return "floor" if sign * self.reached >= sign * self.floor else "missed"


class Bench:
    """The logs, and how their readers are run: each command's seconds and peak memory, over all runs."""

    def __init__(self, scratch: str, size: int, runs: int, ripgrep: str, generator: str) -> None:
        self.scratch = scratch
        self.runs = runs
        self.ripgrep = ripgrep
        self.generator = generator
        self.peak = 0.0
        self.logs: dict[str, str] = {}
        for variant in ("mixed", "flood", "near", "dense", "long", "progress"):
            self.log(variant, size, variant)
        self.log("small", max(size // 10, 1), "mixed")

    def log(self, name: str, size: int, variant: str) -> None:
        """Write one log of ``size`` MB."""
        self.logs[name] = path = os.path.join(self.scratch, f"{name}.log")
        if not self.generator:
            explain.write(path, size, variant)
            return
        variant = {"near": "nearmiss", "long": "longline"}.get(variant, variant)
        self._generate("--size", f"{size}MB", "--variant", variant, "--out", path)

    def _generate(self, *words: str) -> None:
        subprocess.run([sys.executable, self.generator, *words], check=True, stdout=subprocess.DEVNULL)

    def patterns(self, count: int, *, regular: bool, syntax: str = "rg") -> str:
        """A file of so many literals, or regular expressions that begin with them."""
        if self.generator:
            path = os.path.join(self.scratch, f"patterns-{count}-{regular}-{syntax}")
            chosen = syntax if regular else "literals"
            self._generate("--patterns", str(count), "--pattern-syntax", chosen, "--out", path)
            return path
        words = [text.split("[")[0].rstrip(".* ") for text in explain.patterns()]
        words += [f"failed to settle the {n * 7919 % 9973} accounts of the {n} ledger" for n in range(count)]
        path = os.path.join(self.scratch, f"patterns-{count}-{regular}")
        Path(path).write_text("".join(f"{text}{': [^ ]+' * regular}\n" for text in words[:count]), encoding="utf-8")
        return path

    def doctor(self, log: str, engine: str, *, stdin: bool = False) -> tuple[list[str], str, dict[str, str]]:
        """``explain`` as a command for :meth:`run`."""
        words = [sys.executable, "-m", "sgldoctor", "explain", "--exit-zero"]
        return [*words, "-" if stdin else self.logs[log]], self.logs[log] if stdin else "", {"SGLDOCTOR_ENGINE": engine}

    def search(self, count: int, engine: str) -> tuple[list[str], str, dict[str, str]]:
        """Searching the mixed log for so many anchors."""
        anchors = self.patterns(count, regular=False)
        return [sys.executable, "-c", SEARCH, anchors, self.logs["mixed"]], "", {"SGLDOCTOR_ENGINE": engine}

    def rg(self, log: str, patterns: str) -> tuple[list[str], str, dict[str, str]]:
        """``rg`` with a file of patterns."""
        return [self.ripgrep, "--no-config", "-a", "-n", "-f", patterns, self.logs[log]], "", {}

    def run(self, **commands: tuple[list[str], str, dict[str, str]]) -> dict[str, list[float]]:
        """Seconds of each command, run in turn; the first turn fills the page cache and is dropped."""
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(self.runs + 1):
            for name, (command, source, environ) in commands.items():
                seconds, peak = explain.measure(command, source, os.path.join(self.scratch, "out"), environ)
                if turn:
                    times[name].append(seconds)
                if "sgldoctor" in command:
                    self.peak = max(self.peak, peak / 1024)
        return times

    def memory(self, log: str) -> float:
        """Peak MB of ``explain`` on a log."""
        command, source, environ = self.doctor(log, "py")
        return explain.measure(command, source, os.path.join(self.scratch, "out"), environ)[1] / 1024


def ratio(times: dict[str, list[float]], one: str, other: str) -> float:
    """How many times faster ``one`` is than ``other``."""
    return statistics.median(b / a for a, b in zip(times[one], times[other], strict=True))


def logs(bench: Bench, *, fast: bool) -> list[Figure]:
    """Rows 1 to 13: large logs."""
    found: list[Figure] = []
    sixty = bench.patterns(60, regular=True)
    extended = bench.patterns(60, regular=True, syntax="ere")
    every = {
        "py": bench.doctor("mixed", "py"), "py_stdin": bench.doctor("mixed", "py", stdin=True),
        "grep": (["grep", "-a", "-n", "-E", "-f", extended, bench.logs["mixed"]], "", {}),
        "wc": (["wc", "-l", bench.logs["mixed"]], "", {}),
        **({"rg": bench.rg("mixed", sixty)} if bench.ripgrep else {}),
        **({"hs": bench.doctor("mixed", "auto")} if fast else {}),
        **({"rg500": bench.rg("mixed", bench.patterns(500, regular=True))} if bench.ripgrep else {}),
        "py60": bench.search(60, "py"), "py500": bench.search(500, "py"),
        **({"hs60": bench.search(60, "hs"), "hs500": bench.search(500, "hs"), "hs5000": bench.search(5000, "hs")}
           if fast else {}),
    }  # fmt: skip
    times = bench.run(**every)
    if bench.ripgrep:
        found.append(Figure(1, "explain, no extra, against rg -f (60)", ratio(times, "py", "rg"), 0.08, 0.2))
    found.append(Figure(2, "the same against grep -E", ratio(times, "py", "grep"), 0.35, 0.9))
    if fast and bench.ripgrep:
        found.append(Figure(3, "explain with fast, against rg -f (60)", ratio(times, "hs", "rg"), 0.4, 0.85))
    if fast:
        found.append(Figure(4, "explain with fast, against wc -l", ratio(times, "hs", "wc"), 0.06, 0.12))
    if fast and bench.ripgrep:
        found.append(Figure(5, "500 anchors with fast, against rg -f (500)", ratio(times, "hs500", "rg500"), 1.0, 1.5))
    if fast:
        found.append(
            Figure(6, "5000 anchors with fast, time of 60", ratio(times, "hs60", "hs5000"), 2.0, 1.4, more=False)
        )
    found += [
        Figure(7, "500 anchors, no extra, time of 60", ratio(times, "py60", "py500"), 2.5, 1.6, more=False),
        Figure(8, "standard input against a file", ratio(times, "py_stdin", "py"), 0.6, 0.8),
    ]
    hostile = bench.run(
        mixed=bench.doctor("mixed", "py"),
        **{log: bench.doctor(log, "py") for log in ("flood", "near", "dense", "long", "progress")},
        **({f"rg_{log}": bench.rg(log, sixty) for log in ("flood", "near")} if bench.ripgrep else {}),
    )
    worst = max(
        ratio(hostile, "mixed", log) * os.path.getsize(bench.logs["mixed"]) / os.path.getsize(bench.logs[log])
        for log in ("flood", "near", "dense", "long", "progress")
    )
    if bench.ripgrep:
        found += [
            Figure(10, "flood of one error, against rg -f", ratio(hostile, "flood", "rg_flood"), 0.5, 1.5),
            Figure(11, "near misses on every line, against rg -f", ratio(hostile, "near", "rg_near"), 0.1, 0.15),
        ]
    found.append(Figure(12, "worst adversarial log, time of mixed", worst, 5, 3, more=False))
    grown = bench.memory("mixed") - bench.memory("small")
    found += [
        Figure(9, "peak memory of any of these", bench.peak, 60, 40, "MB", more=False),
        Figure(9, "growth from a log of a tenth", grown, 10, 5, "MB", more=False),
        Figure(13, "verdicts that depend on engine or input", float(_verdicts(bench, fast=fast)), 0, 0, "", more=False),
    ]
    return found


def _verdicts(bench: Bench, *, fast: bool) -> int:
    """How many logs and ways of reading them give another report than the plain engine does of the file."""
    different = 0
    for log in bench.logs:
        said = []
        for engine, stdin in (("py", False), ("py", True), *((("hs", False),) if fast else ())):
            command, source, environ = bench.doctor(log, engine, stdin=stdin)
            with open(source or os.devnull, "rb") as stream:
                done = subprocess.run(
                    [*command, "--format", "json"],
                    stdin=stream,
                    stdout=subprocess.PIPE,
                    check=True,
                    env={**os.environ, **environ},
                )
            findings = json.loads(done.stdout)["findings"]
            said.append([(one["rule"], [entry["line"] for entry in one["evidence"]]) for one in findings])
        different += sum(one != said[0] for one in said)
    return different


def budget() -> Figure:
    """Row 14: the longest that a pattern which backtracks for ever may take."""
    import re

    from sgldoctor.rules import limit

    begin = time.perf_counter()
    try:
        limit.search(re.compile("(a+)+$"), "a" * 4000 + "!")
    except limit.TimedOut:
        return Figure(
            14, "a regular expression without an end stops", time.perf_counter() - begin, 0.5, 0.25, "s", False
        )
    raise SystemExit("a pattern that backtracks for ever was not stopped")


def starts(scratch: str, runs: int) -> list[Figure]:
    """Rows 15 to 20: what is small."""
    python = start.environment(os.path.join(scratch, "venv"), 200)
    asked = start.inputs(scratch, python)
    script = os.path.join(os.path.dirname(sys.executable), "sgldoctor")
    doctor = [script] if os.path.exists(script) else [sys.executable, "-m", "sgldoctor"]
    commands = {"bare": [sys.executable, "-c", "pass"], **{name: [*doctor, *words] for name, words in asked.items()}}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 2):
        for name, command in commands.items():
            cpu = start.seconds(command)[1]
            if turn > 1:
                times[name].append(cpu)
    median = {name: statistics.median(values) * 1000 for name, values in times.items()}
    names = ("--version", "explain (10 KB)", "explain (1 MB)", "check (200 packages)")
    found = [
        Figure(15 + at, f"{name}, over bare Python", median[name] - median["bare"], *goal, "ms CPU", more=False)
        for at, (name, goal) in enumerate(zip(names, ((25, 10), (40, 20), (80, 40), (80, 40)), strict=True))
    ]
    site = os.path.join(scratch, "venv", "lib", "python3.11", "site-packages")
    scans = {name: [_scan(code, site) for _ in range(runs + 1)][1:] for name, code in SCANS.items()}
    faster = statistics.median(scans["importlib.metadata"]) / statistics.median(scans["ours"])
    found.append(Figure(19, "scan of 200 packages, against importlib.metadata", faster, 8, 15))
    heavy = {module for words in asked.values() for module in start.imported(words)}
    found.append(Figure(20, "heavy modules that these import", float(len(heavy)), 0, 0, "", more=False))
    return found


def _scan(code: str, site: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, site], stderr=subprocess.PIPE, text=True, check=True)
    return float(done.stderr)


def table(found: list[Figure], size: int) -> str:
    """The figures as Markdown."""
    machine = (
        f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f} at the end, Python {sys.version.split()[0]}"
    )
    rows = [
        f"Logs of {size} MB, {machine}:",
        "",
        "| # | what | reached | floor | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for one in sorted(found, key=lambda figure: figure.number):
        sign = "" if one.more else "at most "
        cells = [f"{one.reached:.3g} {one.unit}".strip(), f"{sign}{one.floor:g}", f"{sign}{one.goal:g}", one.verdict]
        rows.append(f"| {one.number} | {one.what} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> int:
    """Measure everything and print the table; status 1 where a floor is missed."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--size", type=int, default=100, help="MB of each log (default: %(default)s)")
    made.add_argument("--runs", type=int, default=3)
    beside = os.path.join(os.path.dirname(sys.executable), "rg")
    found_rg = shutil.which("rg") or (beside if os.path.exists(beside) else "")
    made.add_argument("--rg", default=found_rg, help="ripgrep")
    made.add_argument("--generator", default="", help="a program that writes the logs and patterns")
    made.add_argument("--markdown", type=Path, help="write the table there as well")
    args = made.parse_args()
    try:
        import hyperscan  # noqa: F401

        fast = True
    except ImportError:
        fast = False
    lacking = ["hyperscan"] * (not fast) + ["rg"] * (not args.rg)
    with tempfile.TemporaryDirectory() as scratch:
        parts: list[Callable[[], list[Figure]]] = [
            lambda: starts(scratch, max(args.runs, 9)),
            lambda: [budget()],
            lambda: logs(Bench(scratch, args.size, args.runs, args.rg, args.generator), fast=fast),
        ]
        found = [figure for part in parts for figure in part()]
    text = table(found, args.size)
    if lacking:
        text += f"\n\nWithout {' and '.join(lacking)}: the rows that need it are left out."
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")
    return int(any(one.verdict == "missed" for one in found))


if __name__ == "__main__":
    sys.exit(main())
