"""Makes ``sgldoctor/knowledge/data/launch-refusals.json``: when SGLang's own argument checks stop a launch.

    python scripts/launch_refusals.py WHEEL_DIR

WHEEL_DIR holds one ``sglang-*.whl`` of every release in ``server-args.json``; ``--lost`` lists what is left out.
Nothing is imported or run: the checks of ``sglang/srt/server_args.py`` and ``sglang/srt/arg_groups`` are read as syntax
trees and followed symbolically, in the order in which SGLang runs them, from the values that the command line gives.
What a check tests then is a condition over those values, the GPU's generation, the model's architecture and variables;
a part that cannot be followed is "?", and a check that cannot be certain without such a part is left out.

The conditions share their parts: ``nodes`` is a list of expressions that name each other by position (see
``sgldoctor/derive/refusals.py`` for the operators). Each refusal has the node of its condition per range of releases.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from refusals.nodes import LEAVES, Nodes, fields_of, possible
from refusals.source import Source
from refusals.statements import Follower

DATA = Path(__file__).resolve().parents[1] / "sgldoctor" / "knowledge" / "data"


def main() -> None:
    """Follow every release and write the table."""
    args = json.loads((DATA / "server-args.json").read_text(encoding="utf-8"))
    releases: list[str] = args["releases"]
    folder = Path(sys.argv[1])
    nodes, trees = Nodes(), {}
    table: dict[tuple[str, str, int], list[int]] = {}
    sys.setrecursionlimit(20000)
    for at, release in enumerate(releases):
        (path,) = folder.glob(f"sglang-{release}-*.whl")
        declared = [
            history
            for entry in args["flags"].values()
            for history in entry["history"]
            if releases.index(history["since"]) <= at
            and (not history["until"] or at <= releases.index(history["until"]))
        ]
        fields = {history["dest"] for history in declared}
        valued = {history["dest"] for history in declared if history.get("default") is not None}
        switches = {history["dest"] for history in declared if history.get("action") == "store_true"}
        memo: dict[int, tuple[bool, bool]] = {}
        found = Follower(Source(zipfile.ZipFile(path), fields, valued, switches, trees), nodes).run()
        kept = {key: node for key, node in found.items() if possible(node, nodes, memo)[0]}
        for (message, where), node in kept.items():
            table.setdefault((message, where, node), []).append(at)
        print(release, len(found), len(kept), len(nodes.list), flush=True)
        if "--lost" in sys.argv:
            for (message, where), node in found.items():
                if (message, where) not in kept:
                    print("   lost:", where, "|", message[:120], "|", nodes.show(node)[:600])
    write(table, nodes, releases)


def write(table: dict[tuple[str, str, int], list[int]], nodes: Nodes, releases: list[str]) -> None:
    """The refusals and the nodes that they reach, renumbered."""
    order: dict[int, int] = {}
    out: list[str] = []

    def add(node: int) -> int:
        if node not in order:
            kind, *parts = nodes.list[node]
            operands = parts if kind in LEAVES else [add(int(part)) for part in parts]
            order[node] = len(out)
            out.append(" ".join(map(str, [kind, *operands])))
        return order[node]

    rows = []
    for (message, where, node), spans in table.items():
        present = ",".join(f"{first}-{last}" for first, last in spread(spans))
        fields = " ".join(sorted(fields_of(node, nodes, {})))
        rows.append("\t".join([present, str(add(node)), fields, where, " ".join(message[:300].split())]))
    source = (
        "sglang/srt/server_args.py and sglang/srt/arg_groups of each release, followed as syntax trees by "
        "scripts/launch_refusals.py; a refusal is, between tabs: releases by position, node of its condition, "
        "arguments that the condition depends on, place, message"
    )
    head = {"source": source, "releases": releases}
    text = json.dumps(head, ensure_ascii=False)[:-1]
    text += ',\n"refusals": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text += '\n],\n"nodes": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in out)
    new = DATA / "launch-refusals.json.new"
    new.write_text(text + "\n]}\n", encoding="utf-8")
    new.replace(DATA / "launch-refusals.json")
    print(len(rows), "refusals,", len(out), "nodes")


def spread(indices: list[int]) -> list[list[int]]:
    """Positions of releases as ranges, both ends included."""
    out: list[list[int]] = []
    for index in sorted(set(indices)):
        if out and out[-1][1] == index - 1:
            out[-1][1] = index
        else:
            out.append([index, index])
    return out


if __name__ == "__main__":
    main()
