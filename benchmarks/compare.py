"""sgldoctor and its peers, side by side on the same broken environments: who names the fault, how fast, how heavy.

    python benchmarks/compare.py LAB [--tools DIR] [--work DIR] [--case NAME]... [--markdown FILE]

LAB holds a sound environment of SGLang, ``good058``, and gets one from the package index where it does not (10 GB).
Each case is a copy of it, made of hard links and then broken as ``tests/lab`` does. ``--tools`` is where the peers are
installed, each in an environment of its own, from the package index where they are absent; this checkout is installed
there anew each time. A peer that examines the environment it runs in is run by the interpreter of the copy, with its
own packages last on the path. What each one said is kept in ``LAB/compare/CASE.TOOL.txt``: read it before you believe
the table.

What a tool prints of the sound environment counts as nothing said; of what is new in a broken one:

- found: its report complains, and names what is broken (the library or the package), be it by quoting an exception;
- trace: the name stands only in what Python prints by itself: the traceback that the tool dies of, or a warning;
- wrong: it complains, of something else;
- missed: no complaint, though it may have been killed by a signal without a word.

An alarm on the sound environment is counted as false: what the tool itself marks as an error, the missing GPU apart.
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
from tests.lab.env import Copy, make
from tests.lab.variants import ALL

ROOT = str(Path(__file__).resolve().parents[1])
SOUND = "sound-good058"
CASES = (
    "v02-no-cudnn", "v04-no-nccl", "i05-no-cublas", "v13-libcudnn-deleted", "v14-libcudnn-cut", "f02-nccl-of-aarch64",
    "f03-kernel-folder-gone", "v07-old-kernel", "v08-both-kernels", "v09-flashinfer-0.5.3", "i01-torchvision-moved",
    "v15-no-numpy", "i16-hub-moved", "f14-transformers-interrupted",
)  # fmt: skip
COMPLAINS = re.compile(
    r"(?i)error|problem|fail|mismatch|missing|incompatib|conflict|requires|cannot|not (?:found|installed|detected"
    r"|available)|no module|undefined|damaged|gone|broken|wrong|critical|absent|is not the release|has requirement"
)
BY_PYTHON = re.compile(r"^\S+\.py:\d+: \w*Warning: ")
FALSE = {
    "sgldoctor": r"^(?:PROBLEM|Cause)",
    "env-doctor": "❌|🔴",
    "cuda-doctor": r"✗ [A-Z]+\d\d\d",
    "mlenvdoctor": "CRITICAL",
}
"""How a tool marks what it calls an error, for the sound environment; for the others the exit status tells."""
DRIVER = re.compile(r"(?i)nvidia-smi|no (?:nvidia )?gpu|driver|cuda (?:is )?(?:not |un)available|libcuda\.so|nvml|nvcc")
"""That there is no GPU on the machine at hand is no false alarm."""
RUNS = 3
KINDS = ("found", "trace", "wrong", "missed")
NEEDS_NVIDIA_SMI = "sglang.check_env"
"""It dies without one, and so gets one that prints nothing; the others would be misled by it."""


class Tool(NamedTuple):
    """One tool: its distribution (``""``: none to install), its command, and whether it runs inside the environment."""

    name: str
    distribution: str
    words: tuple[str, ...]
    inside: bool = False


TOOLS = (
    Tool("sgldoctor", "sgldoctor", ("check",)),
    Tool(NEEDS_NVIDIA_SMI, "", ("-m", "sglang.check_env"), inside=True),
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


class Installed(NamedTuple):
    """The version of a tool, and how many distributions it brings, pip and setuptools of the venv apart."""

    version: str
    distributions: int


def install(tools: Path) -> dict[str, Installed]:
    """Install the peers that are absent, and this checkout as it is now."""
    found = {}
    for tool in TOOLS:
        folder = _folder(tools, tool)
        if not tool.distribution:
            found[tool.name] = Installed("", 0)
            continue
        python = str(folder / "bin/python")
        ours = tool.distribution == "sgldoctor"
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        elif not ours:
            found[tool.name] = _installed(folder, tool)
            continue
        words = ["--force-reinstall", ROOT] if ours else ["-U", tool.distribution]
        subprocess.run([python, "-m", "pip", "install", "-q", *words], check=True)
        found[tool.name] = _installed(folder, tool)
    return found


def _installed(folder: Path, tool: Tool) -> Installed:
    infos = folder.glob("lib/python3*/site-packages/*.dist-info")
    names = {name: version for name, _, version in (path.stem.rpartition("-") for path in infos)}
    version = names[tool.distribution.replace("-", "_")]
    return Installed(version, len(names.keys() - {"pip", "setuptools"}) or 1)


def _folder(tools: Path, tool: Tool) -> Path:
    return tools / tool.name.replace(" ", "-")


def lab(folder: Path) -> None:
    """Make the sound environment where there is none."""
    if (folder / "good058/bin/python").exists():
        return
    uv = str(Path(sys.executable).with_name("uv"))
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([uv, "venv", "--python", sys.executable, str(folder / "good058")], check=True)
    words = ["--python", str(folder / "good058/bin/python"), "sglang==0.5.8"]
    subprocess.run([uv, "pip", "install", "-q", *words], check=True)


def command(tool: Tool, tools: Path, copy: Copy) -> list[str]:
    """The words that run a tool on a copy."""
    python = str(copy.python)
    folder = _folder(tools, tool)
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


def judge(subject: str, said: Ran, sound: Ran) -> str:
    """One of ``KINDS``, by what is new against the sound environment."""
    before = {_plain(line) for line in sound.text.splitlines()}
    new = [line for line in said.text.splitlines() if _plain(line) and _plain(line) not in before]
    words = re.sub(r"^lib|^nvidia-", "", subject)
    guilty = re.compile(re.escape(words).replace(r"\-", "[-_]"), re.IGNORECASE)
    died = "Traceback (most recent call last)" in said.text and "Traceback" not in sound.text
    named = [line for line in new if guilty.search(line) and (died or COMPLAINS.search(line))]
    if named:
        return "trace" if died or all(BY_PYTHON.match(line) for line in named) else "found"
    return "wrong" if died or any(COMPLAINS.search(line) for line in new) else "missed"


def _plain(line: str) -> str:
    return re.sub(r"[\d.]+ ?(?:ms|s|seconds)\b|\d\d:\d\d:\d\d|[\s│|]+", " ", line).strip()


def _keep(work: Path, case: str, tool: Tool, said: Ran) -> None:
    (work / f"{case}.{tool.name.replace(' ', '-')}.txt").write_text(said.text, encoding="utf-8")


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
    lab(asked.lab)
    installed = install(asked.tools)
    work = (asked.work or asked.lab) / "compare"
    stubs = Path(tempfile.mkdtemp(prefix="sgldoctor-compare-"))
    environ = {"PATH": os.environ["PATH"], "HOME": str(stubs), "COLUMNS": "160", "PYTHONIOENCODING": "utf-8"}
    environs = {tool.name: environ for tool in TOOLS}
    if not shutil.which("nvidia-smi"):
        (stubs / "nvidia-smi").write_text("#!/bin/sh\nexit 0\n")
        (stubs / "nvidia-smi").chmod(0o755)
        environs[NEEDS_NVIDIA_SMI] = {**environ, "PATH": f"{environ['PATH']}:{stubs}"}
    variants = {variant.name: variant for variant in ALL}
    sound = make(asked.lab, work / SOUND, variants[SOUND])
    first: dict[str, Ran] = {}
    figures: dict[str, tuple[float, float]] = {}
    for tool in TOOLS:
        # The sound environment has another path than each broken one; both are written as "COPY".
        runs = [run(command(tool, asked.tools, sound), environs[tool.name]) for _ in range(RUNS)]
        first[tool.name] = runs[-1]._replace(text=runs[-1].text.replace(str(sound.folder), "COPY"))
        _keep(work, SOUND, tool, first[tool.name])
        figures[tool.name] = (statistics.median(one.seconds for one in runs), max(one.megabytes for one in runs))
    verdicts: dict[str, dict[str, str]] = {tool.name: {} for tool in TOOLS}
    killed = dict.fromkeys(verdicts, 0)
    for name in asked.case or CASES:
        copy = make(asked.lab, work / name, variants[name])
        for tool in TOOLS:
            said = run(command(tool, asked.tools, copy), environs[tool.name])
            said = said._replace(text=said.text.replace(str(copy.folder), "COPY"))
            _keep(work, name, tool, said)
            verdicts[tool.name][name] = judge(variants[name].subject, said, first[tool.name])
            killed[tool.name] += said.status < 0
        print(name, {tool.name: verdicts[tool.name][name] for tool in TOOLS}, flush=True)
        shutil.rmtree(copy.folder, ignore_errors=True)
    shutil.rmtree(sound.folder, ignore_errors=True)
    shutil.rmtree(stubs, ignore_errors=True)
    alarms = {tool.name: false_alarms(tool, first[tool.name]) for tool in TOOLS}
    table = summary(verdicts, killed, alarms, figures, installed) + "\n\n" + by_case(verdicts)
    print(table)
    if asked.markdown:
        asked.markdown.write_text(table + "\n", encoding="utf-8")
    return 0


def summary(
    verdicts: dict[str, dict[str, str]],
    killed: dict[str, int],
    alarms: dict[str, int],
    figures: dict[str, tuple[float, float]],
    installed: dict[str, Installed],
) -> str:
    """A row for each tool, as Markdown."""
    today = dt.datetime.now(tz=dt.timezone.utc).date()
    out = [
        f"{today}, {len(verdicts['sgldoctor'])} faults in SGLang 0.5.8:",
        "",
        "| tool | found | trace | wrong | missed | killed | false alarms | seconds | MB | distributions |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for tool in TOOLS:
        said = list(verdicts[tool.name].values())
        seconds, megabytes = figures[tool.name]
        version, distributions = installed[tool.name]
        numbers = [*(said.count(kind) for kind in KINDS), killed[tool.name], alarms[tool.name]]
        cells = [f"{tool.name} {version}".strip(), *map(str, numbers), f"{seconds:.2f}", f"{megabytes:.0f}"]
        out.append(f"| {' | '.join(cells)} | {distributions} |")
    return "\n".join(out)


def by_case(verdicts: dict[str, dict[str, str]]) -> str:
    """A row for each fault, as Markdown."""
    out = [f"| fault | {' | '.join(tool.name for tool in TOOLS)} |", "|---" * (len(TOOLS) + 1) + "|"]
    cases = verdicts["sgldoctor"]
    out += [f"| {case} | {' | '.join(verdicts[tool.name][case] for tool in TOOLS)} |" for case in cases]
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())
