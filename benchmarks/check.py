"""``sgldoctor check`` against what people run today: ``sglang.check_env`` and ``torch.utils.collect_env``.

Whole processes in one environment, interleaved, page cache warm; peak memory is that of the largest process of each.
``check_env`` dies where there is no ``nvidia-smi``: one that answers nothing is put on PATH then. ::

    python benchmarks/check.py /opt/venv [--runs 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FACTOR, GOAL, MEGABYTES = 10, 25, 60


def measure(command: list[str], environ: dict[str, str]) -> tuple[float, float, int]:
    """Seconds, peak megabytes and exit status of a process."""
    child = "import resource, subprocess, sys; r = subprocess.call(sys.argv[1:], stdout=-3, stderr=-3); "
    child += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, r)"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-S", "-c", child, *command], env=environ, stdout=-1, check=True)
    seconds = time.perf_counter() - begin
    peak, status = done.stdout.split()
    return seconds, int(peak) / (1024 if sys.platform != "darwin" else 1 << 20), int(status)


def overhead(environ: dict[str, str]) -> float:
    """Seconds of the measuring itself: a bare Python that starts ``true``."""
    return min(measure(["/bin/true"], environ)[0] for _ in range(3))


def main() -> int:
    """Print the table; exit status 1 where a limit is missed."""
    made = argparse.ArgumentParser(description="check against check_env and collect_env, as whole processes")
    made.add_argument("venv", type=Path, help="an environment with SGLang")
    made.add_argument("--runs", type=int, default=5)
    args = made.parse_args()
    python = str(args.venv / "bin/python")
    doctor = [sys.executable, "-m", "sgldoctor", "check", "--python", python, "--exit-zero"]
    commands = {
        "sgldoctor check": doctor,
        "sglang.check_env": [python, "-m", "sglang.check_env"],
        "torch.utils.collect_env": [python, "-m", "torch.utils.collect_env"],
    }
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PATH": os.environ["PATH"]}
        if subprocess.call(["which", "nvidia-smi"], stdout=subprocess.DEVNULL):
            stub = Path(folder) / "nvidia-smi"
            stub.write_text("#!/bin/sh\nexit 0\n")
            stub.chmod(0o755)
            environ["PATH"] += f":{folder}"
        spare = overhead(environ)
        found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
        for turn in range(args.runs + 1):
            for name, command in commands.items():
                run = measure(command, environ)
                if turn:  # the first turn warms the page cache
                    found[name].append(run)
    medians = {name: statistics.median(run[0] for run in runs) - spare for name, runs in found.items()}
    own = medians["sgldoctor check"]
    sys.stdout.write(f"{'':26}{'seconds':>9}{'MB':>8}{'status':>8}{'times':>8}\n")
    for name, runs in found.items():
        peak = max(run[1] for run in runs)
        sys.stdout.write(f"{name:26}{medians[name]:9.3f}{peak:8.0f}{runs[-1][2]:8}{medians[name] / own:8.1f}\n")
    ratio = min(value / own for name, value in medians.items() if name != "sgldoctor check")
    peak = max(run[1] for run in found["sgldoctor check"])
    good = ratio >= FACTOR and peak <= MEGABYTES
    sys.stdout.write(
        f"at least {ratio:.1f}x faster (wanted {FACTOR}x, goal {GOAL}x), {peak:.0f} MB (limit {MEGABYTES} MB)\n"
    )
    sys.stdout.write(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs\n")
    return 0 if good else 1


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
