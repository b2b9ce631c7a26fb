r"""Speed of ``explain``: ratios to ``rg``, ``grep`` and ``wc -l`` on the same log, in one run.

    python benchmarks/explain.py [--log FILE | --size 100] [--variant mixed] [--runs 5] [--rg PATH]

Without ``--log`` it writes a log of ``--size`` MB from a seed (``--variant all``: one of each kind). The commands run
in turn, so that a busy machine slows all of them; medians. Output goes to files, since grep stops at its first match
when it writes to /dev/null. Peak memory is taken by a small launcher, since a child of a large process begins with its
parent's size.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

PATTERNS = 60
LAUNCHER = r"""
import os, sys, time
source, sink = sys.argv[1:3]
begin = time.perf_counter()
child = os.fork()
if not child:
    if source:
        os.dup2(os.open(source, os.O_RDONLY), 0)
    os.dup2(os.open(sink, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.execvp(sys.argv[3], sys.argv[3:])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - begin, usage.ru_maxrss)
"""

FAILURES = (
    "RuntimeError: CUDA error: an illegal memory access was encountered",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory",
    "ImportError: /opt/venv/lib/ops.so: undefined symbol: _ZN3c104cuda9SetDeviceEi",
    "ValueError: Total number of attention heads must be divisible by tensor parallel size",
    "OSError: [Errno 98] Address already in use",
)
WORDS = "please explain how the model answers a question about rivers mountains and error handling in parsers".split()


def patterns() -> list[str]:
    """Sixty regular expressions, valid for ``grep -E`` as well; all begin with a literal, which ``rg`` is best at."""
    stems = (
        "cannot open shared object file", "undefined symbol: [^ ]+", "CUDA out of memory", "CUDA error: .*",
        "Address already in use", "must be divisible by", "NCCL WARN .*", "No module named '[a-z_.]+'",
        "does not recognize this architecture", "Segmentation fault",
    )  # fmt: skip
    subjects = ("", "Error: ", "Exception: ", "error: ", "fatal: ", "failed: ")
    return [subject + stem for subject in subjects for stem in stems][:PATTERNS]


def line(rng: random.Random, number: int, variant: str) -> str:
    """One line of a server's log; what is rare depends on ``variant``."""
    stamp = f"[2026-02-03 {number // 36000 % 24:02}:{number // 600 % 60:02}:{number // 10 % 60:02} TP{number % 8}]"
    second, sixth = number % 60, number % 999983
    if variant == "flood":
        return f"E0203 10:12:{second:02}.{sixth:06} 3472 rdma.cpp:166] Failed to register memory: addr 0x{number:x}"
    if variant == "near":
        return f"{stamp} a shared object file that cannot open, error {rng.choice(WORDS)} CUDA out of {number}"
    if variant == "dense" and rng.random() < 0.02:
        return f"{stamp} {rng.choice(FAILURES)} {rng.choice(WORDS)} {number}"
    kind = rng.random()
    if kind < 0.015:
        text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(20, 200)))
        return f"{stamp} Receive: obj=GenerateReqInput(rid='{rng.getrandbits(128):032x}', text='{text}')"
    if kind < 0.025:
        return f"node-{number % 4}:{number % 4000} [{number % 8}] NCCL INFO Channel {number % 32:02}/0 via P2P/IPC"
    if kind < 0.03:
        return f"W0203 10:12:13.{sixth:06} 77 warn.py:110] a setting is deprecated and will be removed"
    usage = f"token usage: 0.{number % 100:02}"
    if kind < 0.3:
        tokens = rng.randrange(9000)
        return f"{stamp} Prefill batch. #new-seq: {number % 9}, #new-token: {tokens}, #cached-token: 0, {usage}"
    return (
        f"{stamp} Decode batch. #running-req: {number % 97}, #token: {rng.randrange(99999)}, {usage}, "
        f"cuda graph: True, gen throughput (token/s): {rng.random() * 5000:.2f}, #queue-req: 0"
    )


def write(path: str, size: int, variant: str, seed: int = 7) -> None:
    """A log of about ``size`` MB: a piece of 4 MB again and again, with other digits, and six tracebacks."""
    rng = random.Random(seed)
    written = number = 0
    pieces = max(size // 4, 1)
    failing = {round((index + 0.5) * pieces / len(FAILURES)): text for index, text in enumerate(FAILURES)}
    with open(path, "w", encoding="utf-8") as stream:
        for piece in range(pieces):
            lines = []
            begin = written
            while written - begin < 4_000_000 or (piece == pieces - 1 and written < size * 1_000_000):
                lines.append(
                    "x" * 50_000_000 if variant == "long" and number % 900_000 == 1 else line(rng, number, variant)
                )
                written += len(lines[-1]) + 1
                number += 1
            if piece in failing:
                lines += ["Traceback (most recent call last):", '  File "/srv/app.py", line 3, in main', failing[piece]]
            separator = "\r" if variant == "progress" else "\n"
            stream.write(separator.join(lines) + "\n")


def measure(command: list[str], source: str, sink: str, environ: dict[str, str]) -> tuple[float, int]:
    """Seconds and peak KiB of one run of ``command`` with ``source`` as its input."""
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, source, sink, *command],
        env={**os.environ, "LC_ALL": "C", **environ}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    seconds, memory = out.stdout.split()
    return float(seconds), int(memory)


def table(log: str, given: str | None, ripgrep: str | None, runs: int, scratch: str) -> None:
    """Run everything on ``log`` in turn and print one row each."""
    doctor = [sys.executable, "-m", "sgldoctor"]
    size = os.path.getsize(log) / 1e6
    listed = os.path.join(scratch, "patterns")
    with open(listed, "w", encoding="utf-8") as stream:
        stream.write("\n".join(patterns()) + "\n")
    wanted = given or listed
    commands: dict[str, tuple[list[str], str, dict[str, str]]] = {}
    if ripgrep:
        commands["rg -f"] = ([ripgrep, "--no-config", "-a", "-n", "-f", wanted, log], "", {})
    commands[f"grep -E, {PATTERNS} patterns"] = (["grep", "-a", "-n", "-E", "-f", listed, log], "", {})
    commands["wc -l"] = (["wc", "-l", log], "", {})
    for engine in ("py", "hs"):
        chosen: dict[str, str] = {"SGLDOCTOR_ENGINE": engine if engine == "py" else "auto"}
        commands[f"sgldoctor, {engine}, file"] = ([*doctor, "explain", log], "", chosen)
        commands[f"sgldoctor, {engine}, stdin"] = ([*doctor, "explain", "-"], log, chosen)
    times: dict[str, list[float]] = {name: [] for name in commands}
    memory = dict.fromkeys(commands, 0)
    for turn in range(runs + 1):  # the first turn fills the page cache and is dropped
        for name, (command, source, environ) in commands.items():
            if turn == 0 and name.startswith("grep"):
                continue
            seconds, peak = measure(command, source, os.path.join(scratch, "out"), environ)
            if turn:
                times[name].append(seconds)
            memory[name] = max(memory[name], peak)
    first, *_ = commands
    print(f"\n{os.path.basename(log)}, {size:.0f} MB; ratios are of speed, to {first} and wc -l")
    print(f"{'command':<26} {'s':>8} {'MB/s':>7} {'ratio':>7} {'of wc':>7} {'peak MB':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(times[first], values, strict=True))
        lines = statistics.median(a / b for a, b in zip(times["wc -l"], values, strict=True))
        print(f"{name:<26} {median:8.2f} {size / median:7.0f} {ratio:7.3f} {lines:7.3f} {memory[name] / 1024:8.1f}")
    goals(times, memory, first)


def goals(times: dict[str, list[float]], memory: dict[str, int], first: str) -> None:
    """Print what was reached of the goals for a mixed log, each as a ratio of speed or in MB."""

    def ratio(one: str, other: str) -> float:
        return statistics.median(b / a for a, b in zip(times[one], times[other], strict=True))

    py, hs, grep = "sgldoctor, py, file", "sgldoctor, hs, file", f"grep -E, {PATTERNS} patterns"
    rows = [
        (f"py against {first}", ratio(py, first), 0.08, 0.12),
        (f"hs against {first}", ratio(hs, first), 0.4, 0.65),
        ("py against grep -E", ratio(py, grep), 0.35, 0.5),
        ("hs against wc -l", ratio(hs, "wc -l"), 0.06, 0.12),
        ("py, stdin against file", ratio("sgldoctor, py, stdin", py), 0.6, 0.8),
        ("hs, stdin against file", ratio("sgldoctor, hs, stdin", hs), 0.6, 0.8),
    ]
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"{'goal':<40} {'reached':>8} {'floor':>7} {'goal':>7}")
    for name, reached, floor, goal in rows:
        print(f"{name:<40} {reached:8.3f} {floor:7.2f} {goal:7.2f}")
    largest = max(peak for name, peak in memory.items() if name.startswith("sgldoctor")) / 1024
    print(f"{'peak MB of one process (at most)':<40} {largest:8.1f} {60:7} {40:7}")


def main() -> None:
    """Make the logs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", help="an existing log instead of a generated one")
    parser.add_argument("--patterns", help="a file of patterns for rg instead of the built-in ones")
    parser.add_argument("--size", type=int, default=100, help="MB of a generated log")
    kinds = ("mixed", "flood", "near", "dense", "long", "progress")
    parser.add_argument("--variant", choices=(*kinds, "all"), default="mixed")
    parser.add_argument("--runs", type=int, default=5)
    beside = os.path.join(os.path.dirname(sys.executable), "rg")
    parser.add_argument("--rg", default=shutil.which("rg") or (beside if os.path.exists(beside) else None))
    args = parser.parse_args()
    try:
        import hyperscan  # noqa: F401
    except ImportError:
        print("hyperscan is not installed: the rows 'hs' show the engine 'py'")
    with tempfile.TemporaryDirectory() as scratch:
        if args.log:
            table(args.log, args.patterns, args.rg, args.runs, scratch)
            return
        for variant in kinds if args.variant == "all" else (args.variant,):
            log = os.path.join(scratch, f"{variant}.log")
            write(log, args.size, variant)
            table(log, args.patterns, args.rg, args.runs, scratch)
            os.unlink(log)


if __name__ == "__main__":
    main()
