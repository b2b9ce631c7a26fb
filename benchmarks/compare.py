"""sgldoctor and its peers, side by side on the same broken environments: who names the fault, how fast, how heavy.

    python benchmarks/compare.py LAB [--tools DIR] [--work DIR] [--case NAME]... [--markdown FILE]

LAB holds sound environments of SGLang (``good058``: ``uv venv good058; uv pip install -p good058 sglang==0.5.8``). Each
case is a copy of one, made of hard links and then broken as ``tests/lab`` does. ``--tools`` is where the peers are
installed, each in an environment of its own; what is absent there is installed from the package index first. A peer
that examines the environment it runs in is run by the interpreter of the copy, with its own packages last on the path.

What a tool prints of the sound environment counts as nothing said; of what is new in a broken one:

- found: a line that complains, and names what is broken (the library or the package);
- symptom: it dies of the fault, or repeats the exception that it met, so that the name stands in a traceback;
- wrong: it complains, of something else;
- missed: no complaint. An alarm on the sound environment itself is counted as false.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.lab.env import Copy, Variant, make
from tests.lab.variants import ALL

SOUND = "sound-good058"
CASES = (
    "v02-no-cudnn", "v04-no-nccl", "i05-no-cublas", "v13-libcudnn-deleted", "v14-libcudnn-cut", "f02-nccl-of-aarch64",
    "f03-kernel-folder-gone", "v07-old-kernel", "v08-both-kernels", "v09-flashinfer-0.5.3", "i01-torchvision-moved",
    "v15-no-numpy", "i16-hub-moved", "f14-transformers-interrupted",
)  # fmt: skip
COMPLAINS = re.compile(
    r"(?i)error|problem|fail|mismatch|missing|incompatib|conflict|requires|cannot|not (?:found|installed|detected"
    r"|available)|no module|undefined|damaged|gone|broken|wrong|critical|absent|is not the release"
)
FALSE = {"sgldoctor": r"^PROBLEM", "env-doctor": "❌|🔴", "cuda-doctor": r"\bD0\d\d\b", "mlenvdoctor": "CRITICAL"}
"""How a tool marks what it calls a fault, for the sound environment; for the others the exit status tells."""
DRIVER = re.compile(r"(?i)nvidia-smi|no (?:nvidia )?gpu|driver|cuda (?:is )?(?:not |un)available|libcuda\.so|nvml|nvcc")
"""That there is no GPU on the machine at hand is no false alarm."""
RUNS = 3


class Tool(NamedTuple):
    """One tool: its distribution (``""``: none to install), its command, and whether it runs inside the environment."""

    name: str
    distribution: str
    words: tuple[str, ...]
    inside: bool = False


TOOLS = (
    Tool("sgldoctor", "sgldoctor", ("check",)),
    Tool("sglang.check_env", "", ("-m", "sglang.check_env"), inside=True),
    Tool("torch collect_env", "", ("-m", "torch.utils.collect_env"), inside=True),
    Tool("env-doctor", "env-doctor", ("check",), inside=True),
    Tool("cuda-doctor", "cuda-doctor", ("diagnose", "--verbose"), inside=True),
    Tool("mlenvdoctor", "mlenvdoctor", ("diagnose",), inside=True),
    Tool("pip check", "pip", ("--python", "{python}", "check")),
    Tool("uv pip check", "uv", ("pip", "check", "--python", "{python}")),
)


class Ran(NamedTuple):
    """What one run printed, its status, seconds and peak megabytes."""

    text: str
    status: int
    seconds: float
    megabytes: float


def install(tools: Path) -> dict[str, int]:
    """Install what is absent; how many distributions each tool brings, pip and setuptools of the venv apart."""
    counts = {}
    for tool in TOOLS:
        folder = tools / tool.name.replace(" ", "-")
        if not tool.distribution:
            counts[tool.name] = 0
            continue
        if not (folder / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            ours = str(Path(__file__).resolve().parents[1]) if tool.name == "sgldoctor" else tool.distribution
            subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-q", "-U", ours], check=True)
        names = {path.name.split("-")[0] for path in folder.glob("lib/python3*/site-packages/*.dist-info")}
        counts[tool.name] = len(names - {"pip", "setuptools"}) or 1
    return counts


def command(tool: Tool, tools: Path, copy: Copy) -> list[str]:
    """The words that run a tool on a copy."""
    python = str(copy.python)
    folder = tools / tool.name.replace(" ", "-")
    words = [word.format(python=python) for word in tool.words]
    if not tool.distribution:
        return [python, *words]
    if not tool.inside:
        program = str(folder / "bin" / tool.distribution)
        return [program, *words, *(["--python", python] if tool.name == "sgldoctor" else [])]
    (site,) = folder.glob("lib/python3*/site-packages")
    program = str(folder / "bin" / tool.distribution)
    code = f"import sys; sys.path.append({str(site)!r}); sys.argv[0] = {program!r}; exec(open({program!r}).read())"
    return [python, "-c", code, *words]


def run(words: list[str], environ: dict[str, str]) -> Ran:
    """Run it as a process of its own and measure it."""
    child = (
        "import resource, subprocess, sys; r = subprocess.run(sys.argv[2:], stdin=-3, stdout=open(sys.argv[1], 'wb'),"
        "stderr=-2, timeout=300); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, r.returncode)"
    )
    with tempfile.NamedTemporaryFile() as out:
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", child, out.name, *words], env=environ, stdout=-1, check=True)
        seconds = time.perf_counter() - begin
        peak, status = done.stdout.split()
        text = Path(out.name).read_bytes().decode("utf-8", "replace")
    return Ran(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text), int(status), seconds, int(peak) / 1024)


def judge(variant: Variant, said: Ran, sound: Ran) -> str:
    """``found``, ``symptom``, ``wrong`` or ``missed``, by what is new against the sound environment."""
    before = {_plain(line) for line in sound.text.splitlines()}
    new = [line for line in said.text.splitlines() if _plain(line) and _plain(line) not in before]
    words = re.sub(r"^lib|^nvidia-", "", variant.subject)
    guilty = re.compile(re.escape(words).replace(r"\-", "[-_]"), re.IGNORECASE)
    died = "Traceback (most recent call last)" in said.text and said.text not in sound.text
    raw = re.compile(r"^\s*\w*(?:Error|Exception)\b.*: |cannot open shared object|\bNo module named\b")
    named = [line for line in new if guilty.search(line) and COMPLAINS.search(line)]
    if any(not raw.search(line) and "  File " not in line for line in named) and not died:
        return "found"
    if named or (died and any(guilty.search(line) for line in new)):
        return "symptom"
    return "wrong" if died or any(COMPLAINS.search(line) for line in new) else "missed"


def _plain(line: str) -> str:
    return re.sub(r"[\d.]+ ?(?:ms|s|seconds)\b|\d\d:\d\d:\d\d|[\s│|]+", " ", line).strip()


def false_alarms(tool: Tool, said: Ran) -> int:
    """How many faults a tool sees in the sound environment, the missing GPU apart."""
    mark = FALSE.get(tool.name)
    if mark:
        return sum(bool(re.search(mark, line)) and not DRIVER.search(line) for line in said.text.splitlines())
    return int(said.status != 0)


def main() -> int:
    """Run all, and print the table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("lab", type=Path)
    made.add_argument("--tools", type=Path, default=Path(tempfile.gettempdir(), "sgldoctor-peers"))
    made.add_argument("--work", type=Path, help="where copies are made, on the file system of LAB (default: in LAB)")
    made.add_argument("--case", action="append", choices=CASES, help="only these (default: all)")
    made.add_argument("--markdown", type=Path, help="write the table there as well")
    asked = made.parse_args()
    if not (asked.lab / "good058/bin/python").exists():
        made.error(f"{asked.lab}: holds no good058 with SGLang 0.5.8")
    counts = install(asked.tools)
    work = (asked.work or asked.lab) / "compare"
    stubs = Path(tempfile.mkdtemp(prefix="sgldoctor-compare-"))
    environ = {"PATH": os.environ["PATH"], "HOME": str(stubs), "COLUMNS": "160", "PYTHONIOENCODING": "utf-8"}
    if not shutil.which("nvidia-smi"):  # check_env dies without one
        (stubs / "nvidia-smi").write_text("#!/bin/sh\nexit 0\n")
        (stubs / "nvidia-smi").chmod(0o755)
        environ["PATH"] += f":{stubs}"
    variants = {variant.name: variant for variant in ALL}
    sound = make(asked.lab, work / SOUND, variants[SOUND])
    first: dict[str, Ran] = {}
    figures: dict[str, tuple[float, float]] = {}
    for tool in TOOLS:
        # The sound environment has another path than each broken one; both are written as "COPY".
        runs = [run(command(tool, asked.tools, sound), environ) for _ in range(RUNS)]
        first[tool.name] = runs[-1]._replace(text=runs[-1].text.replace(str(sound.folder), "COPY"))
        figures[tool.name] = (statistics.median(one.seconds for one in runs), max(one.megabytes for one in runs))
    verdicts: dict[str, dict[str, str]] = {tool.name: {} for tool in TOOLS}
    for name in asked.case or CASES:
        copy = make(asked.lab, work / name, variants[name])
        for tool in TOOLS:
            said = run(command(tool, asked.tools, copy), environ)
            said = said._replace(text=said.text.replace(str(copy.folder), "COPY"))
            (work / f"{name}.{tool.name.replace(' ', '-')}.txt").write_text(said.text, encoding="utf-8")
            verdicts[tool.name][name] = judge(variants[name], said, first[tool.name])
        print(name, {tool.name: verdicts[tool.name][name] for tool in TOOLS}, flush=True)
        shutil.rmtree(copy.folder, ignore_errors=True)
    shutil.rmtree(sound.folder, ignore_errors=True)
    shutil.rmtree(stubs, ignore_errors=True)
    table = rows(verdicts, first, figures, counts)
    print(table)
    if asked.markdown:
        asked.markdown.write_text(table + "\n", encoding="utf-8")
    return 0


def rows(
    verdicts: dict[str, dict[str, str]],
    first: dict[str, Ran],
    figures: dict[str, tuple[float, float]],
    counts: dict[str, int],
) -> str:
    """The table as Markdown."""
    total = len(verdicts["sgldoctor"])
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    out = [
        f"{today}, {total} faults in SGLang 0.5.8:",
        "",
        "| tool | found | symptom only | wrong | missed | false alarms | seconds | MB | distributions |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for tool in TOOLS:
        said = list(verdicts[tool.name].values())
        seconds, megabytes = figures[tool.name]
        cells = [said.count(kind) for kind in ("found", "symptom", "wrong", "missed")]
        alarms = false_alarms(tool, first[tool.name])
        numbers = [*map(str, cells), str(alarms), f"{seconds:.2f}", f"{megabytes:.0f}", str(counts[tool.name])]
        out.append(f"| {tool.name} | {' | '.join(numbers)} |")
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())
