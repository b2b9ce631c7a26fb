"""Grouping changes no verdict: a node is judged as it would be alone, whatever differs on it by nature."""

from __future__ import annotations

import ast
import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sgldoctor
from sgldoctor import derive, recheck
from sgldoctor.facts import Facts
from sgldoctor.fleet import judge
from sgldoctor.fleet.gather import Fleet, columns
from sgldoctor.fleet.ranges import short
from sgldoctor.fleet.reduce import _DROPPED, HEADS, OWN, RANK, given, own_names, reduced
from sgldoctor.fleet.sources import Item
from sgldoctor.pipeline import Asked, Options
from sgldoctor.report.model import Ignored, Node
from sgldoctor.rules.load import load
from tests.fleet.nodes import Data, add, base, fleet, set_value


def launch_line(text: str) -> Data:
    words = text.split()
    rows = [{"position": place, "text": word, "known": True} for place, word in enumerate(words)]
    whole = {"command": f"python -m sglang.launch_server {text}", "entry": "launch_server", "flags": words}
    return {
        "launch": {"source": "launch", "rows": [whole]},
        "launch.argument": {"source": "launch", "rows": rows},
    }


def put(facts: Data) -> Callable[[Data], None]:
    """Put in whole facts."""

    def change(data: Data) -> None:
        data["facts"].update(copy.deepcopy(facts))

    return change


def unknown(data: Data) -> None:
    data["unknown"].append({"what": "packages", "because": "slow", "essential": True})


XID = {"kind": "xid", "code": 79, "device": "0000:1b:00", "by_program": False, "meaning": "GPU is lost", "age_s": 5}
FULL = {"path": "/tmp", "for": "caches", "free_mib": 12, "total_mib": 4096, "writable": True}
BREAKERS: dict[str, Callable[[Data], None]] = {
    "busy": set_value("gpus", "memory_used_percent", 93.5, index=3),
    "old-driver": set_value("driver", "version", "450.80.02"),
    "renamed": add("environment", name="SGL_ENABLE_JIT_DEEPGEMM", value="0"),
    "interface": set_value("environment", "value", "ib9", name="NCCL_SOCKET_IFNAME"),
    "kernel-absent": add("packages", name="sgl-kernel", version="0.0.1"),
    "read-only": set_value("disks", "writable", False),
    "full": put({"disks": {"source": "probe", "rows": [FULL]}}),
    "old-xid": put({"host.events": {"source": "probe", "rows": [{**XID, "age_s": 30 * 86400}]}}),
    "xid": put({"host.events": {"source": "probe", "rows": [XID]}}),
    "launch": put(launch_line("--tp 3 --nnodes 2 --node-rank 1 --no-such-flag")),
    "unknown": unknown,
}


def own_causes(node: Node) -> list[str]:
    """What is wrong with a node by itself, not by comparison."""
    return [title for title in node.causes if "between nodes:" not in title]


def item(data: Data) -> Item:
    return Item(str(data["host"]), data)


def gathered(nodes: list[Data]) -> Fleet:
    return judge.gather(map(item, nodes), Options())


def test_nodes_that_differ_by_nature_only_are_one_group() -> None:
    found = gathered(list(fleet(20, ())))
    assert len(found.groups) == 1
    assert judge.report(found, Options()).facts.rows("fleet.drift") == ()


@pytest.mark.parametrize("name", BREAKERS)
def test_a_node_is_judged_as_it_would_be_alone(name: str, tmp_path: Path) -> None:
    nodes = list(fleet(6, ()))
    for node in (1, 4):
        BREAKERS[name](nodes[node])
    report = judge.report(gathered(nodes), Options())
    for node, data in enumerate(nodes):
        path = tmp_path / f"{node}.json"
        path.write_text(json.dumps(data))
        alone = recheck.check(str(path), Asked(), Options())
        causes = own_causes(report.nodes[node])
        assert len(causes) < len(report.nodes[node].causes) or report.nodes[node].status == alone.status
        assert [title.split(" of ")[0] for title in causes] == [found.title.split(" of ")[0] for found in alone.causes]
        for finding in alone.findings:
            assert any(
                one.rule.slug == finding.rule.slug and one.subject == finding.subject for one in report.findings
            ), finding.rule.slug


def test_random_mixtures_are_judged_as_alone(tmp_path: Path) -> None:
    chooser = random.Random(7)
    nodes = list(fleet(12, ()))
    for data in nodes:
        for name in chooser.sample(sorted(BREAKERS), chooser.randrange(4)):
            BREAKERS[name](data)
    report = judge.report(gathered(nodes), Options())
    for node, data in enumerate(nodes):
        path = tmp_path / "one.json"
        path.write_text(json.dumps(data))
        alone = recheck.check(str(path), Asked(), Options())
        assert len(own_causes(report.nodes[node])) == len(alone.causes)


class Watched(dict[str, Any]):
    """A row that remembers which of its columns were asked for by name."""

    asked: set[str]

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def test_no_derivation_asks_for_what_is_left_out() -> None:
    """What no rule and no derivation looks at may be left out of what tells nodes apart; so this has to stay true."""
    data = next(fleet(1, ()))
    data["facts"].update(launch_line("--tp 8 --nnodes 2 --node-rank 1 --dist-init-addr 10.0.0.1:5000"))
    facts = Facts()
    watched: dict[str, set[str]] = {}
    for name, entry in data["facts"].items():
        rows = [Watched(row) for row in entry["rows"]]
        for row in rows:
            row.asked = watched.setdefault(name, set())
        facts.put(name, rows, entry["source"])  # type: ignore[arg-type]
    derive.derive(facts)
    for name, dropped in _DROPPED.items():
        allowed = {"uuid"} if name == "gpus" else {"command"} if name == "launch" else set()
        assert not watched.get(name, set()) & set(dropped) - allowed, name
    asked = columns(load())
    assert not {name: asked.get(name, frozenset()) & set(dropped) for name, dropped in _DROPPED.items() if
                asked.get(name, frozenset()) & set(dropped)}  # fmt: skip


def test_a_column_that_a_rule_selects_by_tells_nodes_apart() -> None:
    rows = [{"port": 1, "holder": "python (pid 7)"}]
    assert reduced("ports", rows, (), {}) == [{"port": 1}]
    assert reduced("ports", rows, (), {"ports": frozenset({"holder"})}) == rows


def test_gpu_names_in_variables_are_compared_with_the_gpus_of_the_node() -> None:
    nodes = list(fleet(2, ()))
    for data in nodes:
        add("environment", name="CUDA_VISIBLE_DEVICES", value="GPU-0000000000000000")(data)
    assert len(gathered(nodes).groups) == 2


def test_own_names_and_ranks() -> None:
    own = own_names(
        "node3.example", [{"name": "eth0", "addresses": ["10.0.0.3"]}, {"name": "lo", "addresses": ["127.0.0.1"]}]
    )
    assert set(own) == {"node3.example", "node3", "10.0.0.3"}
    assert own_names("n", [{"name": "kube-ipvs0", "addresses": ["10.96.0.7"]}]) == [], "of a service, on every node"
    arguments = [
        {"text": text} for text in "--host 10.0.0.3 --nnodes 4 --node-rank 2 --dist-init-addr 10.0.0.31:1".split()
    ]
    shown = [row["text"] for row in reduced("launch.argument", arguments, own, {})]
    assert shown == f"--host {OWN} --nnodes 4 --node-rank 1.. --dist-init-addr 10.0.0.31:1".split()
    assert given(["--node-rank=7"], RANK) == "7"
    assert given(["--nnodes", "2"], RANK) is None
    assert given(["--nccl-init-addr", "a=b:1"], *HEADS) == "a=b:1"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["node01", "node02", "node03", "node07"], "node[01-03,07]"),
        (["node008", "node009", "node010"], "node[008-010]"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["alpha", "beta"], "alpha, beta"),
        (["gpu-1.rack", "gpu-2.rack"], "gpu-[1-2].rack"),
        (["node5"], "node5"),
        ([], ""),
    ],
)
def test_names_in_short(names: list[str], wanted: str) -> None:
    assert short(names) == wanted


def test_a_long_list_is_cut() -> None:
    assert short([f"host-{letter}" for letter in "abcdefghijklmnop"]).endswith("and 4 more")


def test_one_snapshot_alone_reads_like_check(tmp_path: Path) -> None:
    report = judge.report(gathered([base()]), Options())
    assert not [finding for finding in report.findings if " nodes: " in finding.title]
    assert report.facts.one("fleet") == {"nodes": 1, "groups": 1, "unread": 0}


def test_ignored_rules_are_counted_on_all_nodes() -> None:
    nodes = list(fleet(3, ()))
    for data in nodes[:2]:
        BREAKERS["busy"](data)
    ignore = Ignored("gpu-memory-held-by-others", "known", "9999-01-01")
    report = judge.report(gathered(copy.deepcopy(nodes)), Options(ignore=(ignore,)))
    assert [entry.times for entry in report.ignored] == [2]


def test_the_comparison_reads_no_machine() -> None:
    """drift, launches and reduce are pure: values in, values out."""
    folder = Path(sgldoctor.__file__).parent / "fleet"
    for name in ("drift", "launches", "reduce", "ranges"):
        tree = ast.parse((folder / f"{name}.py").read_text())
        imported = {node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)}
        assert not imported & {"os", "subprocess", "socket", "time"}, name
