"""``--deep``: what only running tells. Real imports, a matrix product on every GPU, an all-reduce, hashes of files.

Each step is a child process of the target's own interpreter with a limit. What a child that fails has printed is kept:
``explain`` finds the cause in it, as in any log.
"""

from __future__ import annotations

import os
import time

from sgldoctor.facts import Facts, Row
from sgldoctor.probe import rooted
from sgldoctor.probe.run import run
from sgldoctor.probe.target import Target
from sgldoctor.typed import NamedTuple

SKIPPED = 77
"""Exit status of a step that has nothing to do here; its last line says why."""

MATMUL = """
import sys, torch
if not torch.cuda.is_available():
    print("torch sees no CUDA device"); sys.exit(77)
for index in range(torch.cuda.device_count()):
    one = torch.ones(512, 512, device=f"cuda:{index}", dtype=torch.float16)
    total = (one @ one).float().sum().item()  # half precision ends at 65504
    assert abs(total - 512.0 ** 3) < 1e5, f"GPU {index} computes 512x512x512 ones as {total}"
print(torch.cuda.device_count(), "GPUs")
"""

REDUCE = """
import os, sys, socket, torch
if not torch.cuda.is_available():
    print("torch sees no CUDA device"); sys.exit(77)
import torch.distributed as dist, torch.multiprocessing as mp
def work(rank, world, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=world)
    value = torch.ones(1 << 20, device="cuda")
    dist.all_reduce(value)
    torch.cuda.synchronize()
    assert value[0].item() == world, f"rank {rank} has the sum {value[0].item()}, {world} is right"
    dist.destroy_process_group()
if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
    world = torch.cuda.device_count()
    if world == 1:
        work(0, 1, port)
    else:
        mp.spawn(work, args=(world, port), nprocs=world)
    print("all-reduce over", world, "GPUs")
"""


HASHING = 180.0
"""Seconds for hashing: 4 to 5 GB of libraries, 22 s from a busy disk of two cores."""


class Step(NamedTuple):
    """One child: what it is called, the module it needs, its program, its limit in seconds."""

    name: str
    module: str
    code: str
    seconds: float


STEPS = (
    Step("import torch", "torch", "import torch", 120),
    Step("import sgl_kernel", "sgl_kernel", "import torch, sgl_kernel", 120),
    Step("import flashinfer", "flashinfer", "import flashinfer", 120),
    Step("import sglang", "sglang", "import sglang.srt.entrypoints.http_server", 180),
    Step("matrix product", "torch", MATMUL, 90),
    Step("all-reduce", "torch", REDUCE, 150),
)


def deep(target: Target, hashing: float = HASHING) -> tuple[Facts, bytes]:
    """The fact ``deep.runs``, damage by hash added to ``record.damaged``, and the output of all steps that failed."""
    facts = Facts()
    if not target.live or not target.python:
        why = "the target is an unpacked root" if not target.live else "the environment has no interpreter"
        facts.put_unknown("deep", f"{why}: nothing of it can be run", essential=True)
        return facts, b""
    rows: list[Row] = []
    logs: list[bytes] = []
    failed: set[str] = set()
    for step in STEPS:
        row, output = _step(target, step, failed)
        rows.append(row)
        if row["status"] not in ("ok", "skipped"):
            failed.add(step.name)
            logs.append(output)
    facts.put("deep.runs", rows, "probe")
    begin = time.perf_counter()
    _hash(target, facts, hashing)
    facts.seconds["hashes"] = time.perf_counter() - begin
    return facts, b"\n".join(logs)


def _hash(target: Target, facts: Facts, seconds: float) -> None:
    """``record.damaged`` by hashes, in a thread that a disk may hold for ever: then what was not read is said."""
    import threading

    until = time.monotonic() + seconds
    rows: dict[str, Row] = {}
    unread: list[str] = []

    def work() -> None:
        unread.extend(hashes(target, until, rows))
        done.set()

    done = threading.Event()
    threading.Thread(target=work, name="hashes", daemon=True).start()
    ended = done.wait(max(seconds, 0) + 2)
    facts.put("record.damaged", [dict(row) for row in list(rows.values())], "probe")
    if unread or not ended:
        which = f"those from {unread[0]} on are" if unread else "some are"
        facts.put_unknown("hashes", f"of the libraries {which} not read within {max(seconds, 0):g} s")


def _step(target: Target, step: Step, failed: set[str]) -> tuple[Row, bytes]:
    row: Row = {"name": step.name, "status": "skipped", "seconds": 0.0, "because": ""}
    if not any(_there(target, f"{site}/{step.module}") for site in target.sites):
        return {**row, "because": f"{step.module} is not installed"}, b""
    if step.module == "torch" and "import torch" in failed and step.name != "import torch":
        return {**row, "because": "torch cannot be imported"}, b""
    begin = time.perf_counter()
    file = ""
    if step.code is REDUCE:
        # Spawned workers import the program again: it has to be a file.
        import tempfile

        handle, file = tempfile.mkstemp(suffix=".py", prefix="sgldoctor-")
        with os.fdopen(handle, "w") as stream:
            stream.write(step.code)
    try:
        arguments = [file] if file else ["-c", step.code]
        ran = run([target.python, *arguments], seconds=step.seconds, environ=dict(target.environ))
    finally:
        if file:
            os.unlink(file)
    row["seconds"] = round(time.perf_counter() - begin, 2)
    output = (ran.stdout + ran.stderr).strip()
    if ran.status == 0:
        return {**row, "status": "ok"}, b""
    last = output.splitlines()[-1][:300] if output else ""
    if ran.status == SKIPPED:
        return {**row, "because": last}, b""
    if ran.status is None:
        late = "no answer" in ran.because
        return {**row, "status": "timeout" if late else "failed", "because": ran.because}, output.encode()
    if ran.status < 0:
        died = f"killed by signal {-ran.status}"
        return {**row, "status": "killed", "because": f"{died}: {last}" if last else f"{died}, without a word"}, (
            output.encode()
        )
    return {**row, "status": "failed", "because": last}, output.encode()


def _there(target: Target, path: str) -> bool:
    return rooted.is_folder(target.root, path) or rooted.is_file(target.root, path + ".py")


def hashes(target: Target, until: float, rows: dict[str, Row]) -> list[str]:
    """Fill ``rows`` of ``record.damaged`` for libraries of the right size and another content than RECORD says.

    Returns the distributions that were not read to their end when the clock (``time.monotonic``) stood at ``until``.
    """
    from sgldoctor.knowledge.releases import normalise
    from sgldoctor.probe.record import CHECKED

    unread = []
    for site in target.sites:
        for entry in rooted.names(target.root, site):
            stem, _, version = entry.removesuffix(".dist-info").partition("-")
            name = normalise(stem)
            checked = entry.endswith(".dist-info") and CHECKED.fullmatch(name)
            if checked and not _hashed(target, site, entry, (name, version), until, rows):
                unread.append(name)
    return unread


def _hashed(target: Target, site: str, entry: str, of: tuple[str, str], until: float, rows: dict[str, Row]) -> bool:
    """Compare the libraries of one distribution; False where the time ran out."""
    import base64
    import re

    from sgldoctor.probe.record import LIMIT

    line = re.compile(rb'^"?([^",\n]+\.so[.\d]*)"?,sha256=([\w-]+),(\d+)\r?$', re.MULTILINE)
    name, version = of
    for match in line.finditer(rooted.read(target.root, f"{site}/{entry}/RECORD", LIMIT) or b""):
        file = match[1].decode("utf-8", "replace")
        if rooted.size(target.root, f"{site}/{file}") != int(match[3]):
            continue  # said already, by its size
        digest = _digest(rooted.resolve(target.root, f"{site}/{file}"), until)
        if digest is None:
            return False
        if not digest or base64.urlsafe_b64encode(digest).rstrip(b"=") == match[2]:
            continue
        text = f"{name} {version} installed {file} with another content"
        row = rows.setdefault(
            name,
            {"name": name, "version": version, "file": file, "problem": "hash", "library": True, "count": 0,
             "owner": "", "files": [], "text": text},
        )  # fmt: skip
        row["count"] += 1
        row["files"] = [*row["files"], file][:20]
    return True


def _digest(path: str, until: float) -> bytes | None:
    """SHA-256 of a file; ``b""`` where it cannot be read, None where the time ran out."""
    import hashlib

    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while data := stream.read(1 << 22):
                if time.monotonic() > until:
                    return None
                digest.update(data)
    except OSError:
        return b""
    return digest.digest()
