"""How fast ``sgldoctor fleet`` is, how much memory it takes, and whether it finds all that differs and nothing else.

Snapshots are made from a real one (``--like FILE``, what ``sgldoctor snapshot`` wrote; else that of an eight-GPU node
is built in), each with its own name, addresses, GPUs and free memory, and with one difference of every kind planted.

    python benchmarks/fleet.py
    python benchmarks/fleet.py --nodes 100 1000 10000 --like snapshot.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fleet.nodes import Planted, fleet, line, planted  # noqa: E402  the same nodes as the tests use

SECONDS, MEGABYTES = 60.0, 500.0
"""Limits for 10 000 nodes on a machine of two cores."""


def main() -> int:
    """Print the table; status 1 where something was missed, or found that is not there."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--nodes", type=int, nargs="+", default=[100, 1000, 10_000])
    made.add_argument("--like", type=Path, help="a snapshot to make the others from")
    args = made.parse_args()
    like = json.loads(args.like.read_text()) if args.like else None
    print("| nodes | MB read | seconds | CPU s | peak MB | groups | planted | found | false |")
    print("|---|---|---|---|---|---|---|---|---|")
    good = True
    for total in args.nodes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "nodes.jsonl"
            differences = [entry for entry in planted(total) if like is None or fits(like, entry)]
            with path.open("wb") as stream:
                stream.writelines(line(data) for data in fleet(total, differences, like))
            size = path.stat().st_size
            seconds, cpu, peak, report = run(path)
        found, false, missed = compare(report, differences)
        groups = report["facts"]["fleet"]["rows"][0]["groups"]
        figures = f"{seconds:.1f} | {cpu:.1f} | {peak:.0f} | {groups} | {len(differences)} | {found} | {false}"
        print(f"| {total} | {size / 1e6:.0f} | {figures} |", flush=True)
        for entry in missed:
            print(entry)
        good = good and not false and not missed
        if total >= 10_000 and (seconds > SECONDS or peak > MEGABYTES):
            print(f"over the limits of {SECONDS:.0f} s and {MEGABYTES:.0f} MB")
            good = False
    return 0 if good else 1


def fits(like: dict[str, Any], entry: Planted) -> bool:
    """Whether a difference can be planted into nodes like this one, and makes them differ."""
    data = next(fleet(1, (), like))
    before = json.dumps(data)
    try:
        entry.change(data)
    except (KeyError, StopIteration, IndexError):
        return False
    return json.dumps(data) != before


def run(path: Path) -> tuple[float, float, float, dict[str, Any]]:
    """Seconds, CPU seconds, peak megabytes and the report."""
    with tempfile.TemporaryFile() as out:
        begin = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "sgldoctor", "fleet", str(path), "--format", "json", "--exit-zero"],
            stdout=out,
            cwd=ROOT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        if status:
            raise SystemExit(f"sgldoctor fleet failed with {status}")
        out.seek(0)
        report = json.load(out)
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, report


def compare(report: dict[str, Any], differences: list[Planted]) -> tuple[int, int, list[str]]:
    """How many of the planted differences were found, how many others, and which were missed."""
    wanted = {(entry.kind, entry.what, entry.value, len(entry.nodes)) for entry in differences}
    rows = report["facts"]["fleet.drift"]["rows"]
    told = {(row["kind"], row["what"], row["value"], row["count"]) for row in rows}
    wrong = [f"missed: {entry}" for entry in sorted(wanted - told)]
    wrong += [f"not planted: {entry}" for entry in sorted(told - wanted)]
    return len(wanted & told), len(told - wanted), wrong


if __name__ == "__main__":
    raise SystemExit(main())
