"""What was seen in the lab, in small files: a snapshot of each sound environment, of each variant what differs.

``python -m tests.lab.replay LAB [NAME...]`` makes variants and records them anew; ``--accept`` in place of LAB writes
what today's rules find in the recorded ones. Recorded are the facts that rules
and derivations judge, without anything of the machine on which that was done.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from sgldoctor import __version__, pipeline, snapshot
from sgldoctor.facts import Facts
from sgldoctor.probe.environments import find
from sgldoctor.report.model import Report
from tests.lab.env import Variant, make

FOLDER = Path(__file__).parent / "snapshots"
KEPT = ("python", "packages", "record", "kernel", "flashinfer", "torch", "components", "loader", "libraries", "symbols",
        "environment", "driver", "sglang", "modules.shadowed")  # fmt: skip
HOME = "/opt/venv"
Data = dict[str, Any]


def examine(folder: Path, variant: Variant) -> Facts:
    """What the probes see in a copy, with the variables of the variant and no others."""
    variables = {name: value.replace("{}", str(folder)) for name, value in variant.environ.items()}
    if variant.lacks:
        target = find(None, HOME, str(folder), {})
    else:
        target = find(None, str(folder), None, {"PATH": "/usr/bin:/bin", "HOME": "/root", **variables})
    return pipeline.examine(target, pipeline.Asked())


def to_data(facts: Facts, folder: Path) -> Data:
    """The snapshot of a copy, reduced to what is about the environment, its own path made neutral."""
    data = snapshot.to_object(facts, host="", taken="", version=__version__)
    data["facts"] = {
        name: fact
        for name, fact in data["facts"].items()
        if name in KEPT or (name.partition(".")[0] in KEPT and name not in ("modules", "modules.available"))
    }
    data["unknown"] = [entry for entry in data["unknown"] if entry["what"] in ("gpus", "packages", "libraries")]
    data["seconds"] = {}
    text = json.dumps(data).replace(str(folder), HOME).replace(str(folder.parent), "/opt")
    made: Data = json.loads(text)
    return made


def difference(base: Data, data: Data) -> Data:
    """What must be put over ``base`` to have ``data``; packages row by row, other facts as a whole."""
    out: Data = {"facts": {}, "unknown": data["unknown"]}
    for name, fact in data["facts"].items():
        if base["facts"].get(name) != fact and name != "packages":
            out["facts"][name] = fact
    out["gone"] = sorted(base["facts"].keys() - data["facts"].keys())
    before = {row["name"]: row for row in base["facts"]["packages"]["rows"]}
    now = {row["name"]: row for row in data["facts"].get("packages", {"rows": []})["rows"]}
    out["packages"] = [row for name, row in now.items() if before.get(name) != row]
    out["uninstalled"] = sorted(before.keys() - now.keys())
    return out


def assembled(base: Data, delta: Data) -> Data:
    """The snapshot of a variant from that of its sound environment."""
    facts = {**base["facts"], **delta["facts"]}
    for name in delta["gone"]:
        facts.pop(name, None)
    changed = {row["name"]: row for row in delta["packages"]}
    kept = [row for row in base["facts"]["packages"]["rows"] if row["name"] not in {*changed, *delta["uninstalled"]}]
    rows = sorted([*kept, *changed.values()], key=lambda row: str(row["name"]))
    return {**base, "facts": {**facts, "packages": {"source": "probe", "rows": rows}}, "unknown": delta["unknown"]}


def told(report: Report) -> list[list[str]]:
    """What was found, as it is recorded and compared."""
    return [[found.role, found.severity, found.rule.slug, found.subject] for found in report.findings]


def load(name: str) -> Data:
    """A recorded file."""
    data: Data = json.loads((FOLDER / f"{name}.json").read_text())
    return data


def judge(data: Data, folder: Path) -> Report:
    """What ``check --snapshot`` says of a snapshot."""
    from sgldoctor import recheck

    file = folder / "snapshot.json"
    file.write_text(snapshot.to_text(data))
    return recheck.check(str(file), pipeline.Asked(), pipeline.Options())


def record(lab: Path, work: Path, variant: Variant) -> None:
    """Make a variant, examine it, and write its file."""
    folder = work / variant.name
    if not folder.exists():
        make(lab, folder, variant)
    data = to_data(examine(folder, variant), folder)
    if variant.name.startswith("sound-"):
        kept = data
    else:
        kept = {"good": variant.good, **difference(load(f"sound-{variant.good}"), data)}
    with tempfile.TemporaryDirectory() as scratch:
        kept["findings"] = told(judge(data, Path(scratch)))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{variant.name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def accept() -> None:
    """Write what today's rules find into all recorded files, for review."""
    for path in sorted(FOLDER.glob("*.json")):
        kept = load(path.stem)
        data = kept if path.stem.startswith("sound-") else assembled(load(f"sound-{kept['good']}"), kept)
        with tempfile.TemporaryDirectory() as scratch:
            found = told(judge({key: value for key, value in data.items() if key != "findings"}, Path(scratch)))
        path.write_text(json.dumps({**kept, "findings": found}, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    """Record the variants named, or all; with ``--accept`` only judge anew what is recorded."""
    if arguments == ["--accept"]:
        accept()
        return
    from tests.lab.variants import ALL

    lab, names = Path(arguments[0]), arguments[1:]
    keep = "--keep" in names
    names = [name for name in names if name != "--keep"]
    work = lab / "check-variants"
    for variant in ALL:
        if names and variant.name not in names:
            continue
        record(lab, work, variant)
        if not keep:
            shutil.rmtree(work / variant.name, ignore_errors=True)
        sys.stdout.write(f"{variant.name}: {load(variant.name)['findings'][:1]}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
