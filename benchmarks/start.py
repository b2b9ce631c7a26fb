"""Start-up: whole processes of sgldoctor against bare Python, in one run, as differences and ratios.

    python benchmarks/start.py [--doctor .venv/bin/sgldoctor] [--runs 15] [--packages 200]

It makes a virtual environment's layout with ``--packages`` distributions (metadata only), then runs in turn
``python -c pass``, ``--version``, ``explain`` on a 10 KB log and ``check`` on that layout; medians of the runs.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TRACEBACK = """[2026-02-03 10:12:10 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/torch/__init__.py", line 427, in <module>
    from torch._C import *  # noqa: F403
ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory
"""


def environment(folder: str, packages: int) -> str:
    """Lay out a virtual environment with metadata only; returns its interpreter."""
    site = os.path.join(folder, "lib", "python3.11", "site-packages")
    os.makedirs(os.path.join(folder, "bin"))
    with open(os.path.join(folder, "pyvenv.cfg"), "w", encoding="utf-8") as stream:
        stream.write(f"home = {os.path.dirname(sys.executable)}\nversion = 3.11.7\n")
    os.symlink(os.path.realpath(sys.executable), os.path.join(folder, "bin", "python"))
    for number in range(packages):
        info = os.path.join(site, f"package_{number}-1.{number}.dist-info")
        os.makedirs(info)
        with open(os.path.join(info, "METADATA"), "w", encoding="utf-8") as stream:
            stream.write(f"Metadata-Version: 2.1\nName: package-{number}\nVersion: 1.{number}\n")
            stream.writelines(f"Requires-Dist: package-{other}\n" for other in range(number % 40))
            stream.write("\n" + "long description\n" * 300)
        with open(os.path.join(info, "RECORD"), "w", encoding="utf-8") as stream:
            stream.writelines(f"package_{number}/module_{line}.py,sha256=abc,123\n" for line in range(100))
    return os.path.join(folder, "bin", "python")


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--doctor", default=shutil.which("sgldoctor") or os.path.join(os.path.dirname(sys.executable), "sgldoctor")
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--packages", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(os.path.join(scratch, "venv"), args.packages)
        log = os.path.join(scratch, "crash.log")
        with open(log, "w", encoding="utf-8") as stream:
            line = "[2026-02-03 10:12:{:02d} TP0] Decode batch. #running-req: {}, #token: {}, token usage: 0.01\n"
            stream.write("".join(line.format(i % 60, i, i * 37) for i in range(100)) + TRACEBACK)
        commands = {
            "python -c pass": [sys.executable, "-I", "-c", "pass"],
            "sgldoctor --version": [args.doctor, "--version"],
            "sgldoctor explain (10 KB)": [args.doctor, "explain", log],
            f"sgldoctor check ({args.packages} packages)": [args.doctor, "check", "--python", python],
            "python -c 'import importlib.metadata'": [sys.executable, "-I", "-c", "import importlib.metadata"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(args.runs + 1):  # the first round warms the page cache and is dropped
            for name, command in commands.items():
                times[name].append(seconds(command))
        base = statistics.median(times["python -c pass"][1:])
        print(f"{'command':<42} {'ms':>7} {'over bare':>10} {'ratio':>6}")
        for name, values in times.items():
            median = statistics.median(values[1:])
            print(f"{name:<42} {median * 1e3:7.1f} {(median - base) * 1e3:10.1f} {median / base:6.2f}")


if __name__ == "__main__":
    main()
