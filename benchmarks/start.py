"""Start-up: whole processes of sgldoctor against bare Python, in one run, as differences and ratios.

    python benchmarks/start.py [--doctor .venv/bin/sgldoctor] [--runs 15] [--packages 200]

It makes a virtual environment's layout with ``--packages`` distributions (metadata only), then runs in turn
``python -c pass``, ``--version``, ``explain`` on logs of 10 KB and 1 MB, ``check`` on that layout and ``launch`` with a
model folder; medians of the runs, wall time and CPU time, over bare Python. Beside them stand the floor and the goal of
each, in ms over bare Python. On a busy machine the CPU time is the one to read.
"""

import argparse
import json
import os
import resource
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


GOALS = {"--version": (25, 10), "10 KB": (40, 20), "1 MB": (80, 40), "check": (80, 40), "launch": (100, 100)}
"""Words of a row to the ms over bare Python that must and that should be reached."""
NEVER = ("rich", "yaml", "pydantic", "typer", "importlib.metadata", "asyncio", "urllib.request")
"""Modules that no start imports."""
MODEL = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32, "vocab_size": 128256,
    "max_position_embeddings": 131072, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-05,
}  # fmt: skip


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall time and CPU time of one run with its children; compiled modules may be written, as on a user's machine."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environ)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imported(command: list[str]) -> list[str]:
    """Which of :data:`NEVER` a run of ``sgldoctor`` with these arguments imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sgldoctor", *command], capture_output=True, text=True, check=False
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return sorted(names & set(NEVER))


def inputs(scratch: str, python: str, packages: int = 200, sglang: str = "0.5.18") -> dict[str, list[str]]:
    """What is measured: a name for each command line, whose logs and model are written to ``scratch``."""
    log = os.path.join(scratch, "crash.log")
    with open(log, "w", encoding="utf-8") as stream:
        line = "[2026-02-03 10:12:{:02d} TP0] Decode batch. #running-req: {}, #token: {}, token usage: 0.01\n"
        stream.write("".join(line.format(i % 60, i, i * 37) for i in range(100)) + TRACEBACK)
    large = os.path.join(scratch, "large.log")
    with open(large, "w", encoding="utf-8") as stream:
        stream.write("".join(line.format(i % 60, i, i * 37) for i in range(11_000)) + TRACEBACK)
    model = os.path.join(scratch, "model")
    os.mkdir(model)
    with open(os.path.join(model, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(MODEL, stream)
    server = ["python", "-m", "sglang.launch_server", "--model-path", model, "--tp", "8"]
    return {
        "--version": ["--version"],
        "explain (10 KB)": ["explain", log],
        "explain (1 MB)": ["explain", large],
        f"check ({packages} packages)": ["check", "--python", python],
        "launch (local model)": ["launch", "--sglang", sglang, "--gpus", "8", "--", *server],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--doctor", default=shutil.which("sgldoctor") or os.path.join(os.path.dirname(sys.executable), "sgldoctor")
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--sglang", default="0.5.18", help="the release to judge the launch line by")
    parser.add_argument("--packages", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(os.path.join(scratch, "venv"), args.packages)
        asked = inputs(scratch, python, args.packages, args.sglang)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            **{name: [args.doctor, *words] for name, words in asked.items()},
            "python -c 'import importlib.metadata'": [sys.executable, "-c", "import importlib.metadata"],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(args.runs + 2):  # the first rounds warm the caches and are dropped
            for name, command in commands.items():
                times[name].append(seconds(command))
        medians = {
            name: [statistics.median(run[at] for run in runs[2:]) for at in (0, 1)] for name, runs in times.items()
        }
        print(f"load average {os.getloadavg()[0]:.1f}; ms; over bare Python: wall and CPU, floor and goal")
        print(f"{'command':<40} {'wall':>7} {'CPU':>7} {'+wall':>7} {'+CPU':>7} {'floor':>6} {'goal':>5}")
        bare = medians["python -c pass"]
        for name, median in medians.items():
            numbers = [*median, median[0] - bare[0], median[1] - bare[1]]
            goal = next((f"{least:6} {wanted:5}" for word, (least, wanted) in GOALS.items() if word in name), "")
            print(f"{name:<40} " + " ".join(f"{number * 1e3:7.1f}" for number in numbers) + f" {goal}")
        for name, words in asked.items():
            print(f"{name:<40} imports of {', '.join(NEVER)}: {', '.join(imported(words)) or 'none'}")


if __name__ == "__main__":
    main()
