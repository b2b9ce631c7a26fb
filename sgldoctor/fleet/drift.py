"""Drift: what differs between nodes that should be alike, most likely to break a collective first. Pure.

Compared is what was established on a node; what is unknown on it is no difference. Of each thing the value that most
nodes have is the measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from sgldoctor.facts import Row
from sgldoctor.fleet.ranges import short
from sgldoctor.typed import Any, NamedTuple

Tables = Mapping[str, Sequence[Row]]
"""The facts of a group, as they stand for all of its nodes."""

KINDS = (
    "nccl", "torch", "sglang", "network", "collective-variable", "gpu", "driver", "topology", "kernel-module",
    "firmware", "model", "variable", "package", "python", "host",
)  # fmt: skip
"""Kinds of things, those first whose difference breaks a collective most likely.

NCCL refuses ranks of another version or hangs; torch and SGLang must run the same kernels in the same order; a network
that differs (MTU, link state, rate) loses large messages only; a variable of NCCL chooses transports on one side alone.
"""
_COLLECTIVE = (
    "NCCL_", "GLOO_", "TORCH_NCCL_", "UCX_", "NVSHMEM_", "MC_", "FI_", "OMPI_", "MASTER_",
)  # fmt: skip
_PRESENT = ("topology", "firmware")
"""Kinds of things that are compared between nodes that have them."""
PER_NODE = 0.5
"""A variable with more different values than this part of the nodes is one that each node has its own of."""


class Difference(NamedTuple):
    """One thing that is not alike: values (None: not there) to the places of the nodes that have them, most first."""

    kind: str
    what: str
    values: tuple[tuple[Any, tuple[int, ...]], ...]

    @property
    def total(self) -> int:
        """Nodes on which the thing could be seen."""
        return sum(len(nodes) for _, nodes in self.values)


def differences(groups: Sequence[tuple[Tables, Sequence[int]]]) -> list[Difference]:
    """All that differs between groups of nodes, by :data:`KINDS`, then by the number of nodes that are different."""
    found: list[Difference] = []
    for needs, read in _READERS:
        seen: dict[tuple[str, str], dict[Any, list[int]]] = {}
        tables: list[
            tuple[dict[tuple[str, str], Any], list[int]]
        ] = []  # groups that share the tables a reader looks at are read once
        by_tables: dict[tuple[int, ...], int] = {}
        for facts, nodes in groups:
            if not all(name in facts for name in needs[:1]):
                continue
            key = tuple(id(facts.get(name)) for name in needs)
            if key not in by_tables:
                by_tables[key] = len(tables)
                tables.append((dict(read(facts)), list(nodes)))
            else:
                tables[by_tables[key]][1].extend(nodes)
        if len(tables) < 2:
            continue
        things = {thing for items, _ in tables for thing in items}
        for items, nodes in tables:
            for thing in things:
                if thing not in items and thing[0] in _PRESENT:
                    continue  # the part itself is missing, which is told by itself
                seen.setdefault(thing, {}).setdefault(_plain(items.get(thing)), []).extend(nodes)
        for (kind, what), values in seen.items():
            if len(values) > 1 and not _own_of_each(kind, values):
                ordered = sorted(values.items(), key=lambda pair: (-len(pair[1]), min(pair[1])))
                found.append(Difference(kind, what, tuple((value, tuple(sorted(at))) for value, at in ordered)))
    return sorted(found, key=lambda one: (KINDS.index(one.kind), len(one.values[0][1]) - one.total, one.what))


def rows(found: Sequence[Difference], names: Sequence[str]) -> list[Row]:
    """The fact ``fleet.drift``: one row for each thing and each value that is not the majority's."""
    out: list[Row] = []
    for one in found:
        majority, most = one.values[0]
        tie = len(one.values[1][1]) == len(most)
        for value, nodes in one.values[1:]:
            where = short(names[node] for node in nodes)
            common = (
                f"{shown(majority)} on {len(most)} nodes" if len(most) > 1 else f"{shown(majority)} on {names[most[0]]}"
            )
            out.append(
                {
                    "kind": one.kind,
                    "what": one.what,
                    "majority": shown(majority),
                    "value": shown(value),
                    "nodes": where,
                    "count": len(nodes),
                    "total": one.total,
                    "tie": tie,
                    "rank": len(out) + 1,
                    "text": f"{one.what}: {shown(value)} on {where} ({len(nodes)} of {one.total}), {common}",
                }
            )
    return out


def shown(value: Any) -> str:
    """A value in words."""
    if value is None:
        return "absent"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return '""' if value == "" else str(value)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _own_of_each(kind: str, values: Mapping[Any, Sequence[int]]) -> bool:
    """Whether this is no drift, but a variable whose value is each node's own: a rank, an address, a job's folder."""
    total = sum(len(nodes) for nodes in values.values())
    return kind in ("variable", "collective-variable") and total > 2 and len(values) > PER_NODE * total


Items = Iterator[tuple[tuple[str, str], Any]]


def _packages(facts: Tables) -> Items:
    build = {name: row.get(name) for row in facts.get("torch", ())[:1] for name in ("build", "cuda", "local")}
    found: dict[str, list[str]] = {}
    for row in facts["packages"]:
        origin = row.get("direct_url") or ("editable" if row.get("editable") else "")
        found.setdefault(str(row.get("name")), []).append(f"{row.get('version')}" + (f" ({origin})" if origin else ""))
    for name, versions in found.items():
        yield (_package_kind(name), name), ", ".join(sorted(versions))
    if any(build.values()):
        yield ("torch", "torch build"), " ".join(str(value) for value in build.values() if value)


def _package_kind(name: str) -> str:
    if name.startswith("nvidia-nccl"):
        return "nccl"
    if name == "torch":
        return "torch"
    if name in ("sglang", "sgl-kernel", "sglang-kernel", "sglang-router") or name.startswith("flashinfer"):
        return "sglang"
    return "package"


def _python(facts: Tables) -> Items:
    for row in facts["python"][:1]:
        yield ("python", "Python"), row.get("version")


def _driver(facts: Tables) -> Items:
    for row in facts["driver"][:1]:
        for column in ("version", "cuda", "module"):
            if row.get(column):
                yield ("driver", "driver" if column == "version" else f"driver {column}"), row[column]
    for row in facts.get("cuda.init", ())[:1]:
        yield ("driver", "cuInit"), row.get("name")


def _gpus(facts: Tables) -> Items:
    found = facts["gpus"]
    yield ("gpu", "number of GPUs"), len(found)
    for column, what in (("name", "GPU model"), ("memory_total_mib", "GPU memory"), ("mig", "MIG")):
        values = dict.fromkeys(_plain(row.get(column)) for row in found if row.get(column) is not None)
        if values:
            yield ("gpu", what), ", ".join(map(str, values))
    for column, kind, what in (
        ("nvlinks", "topology", f"NVLinks of {len(found)} GPUs"),
        ("fabric", "topology", f"NVSwitch fabric of {len(found)} GPUs"),
        ("numa", "topology", f"NUMA nodes of {len(found)} GPUs"),
        ("vbios", "firmware", f"VBIOS of {len(found)} GPUs"),
        ("persistence", "gpu", "persistence mode"),
    ):
        listed = [row.get(column) for row in found]
        if any(value not in (None, "") for value in listed):
            same = len(set(map(str, listed))) == 1
            yield (kind, what), str(listed[0]) if same else ", ".join(map(str, listed))
    if facts.get("gpu.links"):
        pairs = [
            f"{row.get('path') or '?'}/{row.get('nvlinks') or 0}/{bool(row.get('p2p'))}" for row in facts["gpu.links"]
        ]
        counts = {pair: pairs.count(pair) for pair in sorted(set(pairs))}
        yield (
            ("topology", f"links between {len(found)} GPUs (path/NVLinks/P2P)"),
            ", ".join(f"{n} x {p}" for p, n in counts.items()),
        )


def _network(facts: Tables) -> Items:
    for row in facts["interfaces"]:
        name = str(row.get("name"))
        if name == "lo" or "*" in name or not row.get("up"):
            continue
        if row.get("mtu") is not None:
            yield ("network", f"MTU of {name}"), row["mtu"]
        if row.get("speed") is not None:
            yield ("network", f"speed of {name}"), row["speed"]


def _rdma(facts: Tables) -> Items:
    found = facts["rdma.devices"]
    yield ("network", "number of RDMA ports"), len(found)
    for row in found:
        name = f"{row.get('name')}/{row.get('port')}"
        yield (
            ("network", f"RDMA port {name}"),
            " ".join(f"{row.get('state')} {row.get('link_layer')} {row.get('rate')}".split()),
        )
        if row.get("numa") is not None:
            yield ("topology", f"NUMA node of {row.get('name')}"), row["numa"]
        if row.get("firmware"):
            yield ("firmware", f"firmware of {row.get('name')}"), f"{row['firmware']} {row.get('board') or ''}".strip()


def _modules(facts: Tables) -> Items:
    for row in facts["modules"]:
        yield ("kernel-module", f"module {row.get('name')}"), "loaded" if row.get("loaded") else "not loaded"


def _variables(facts: Tables) -> Items:
    for row in facts["environment"]:
        name = str(row.get("name"))
        yield ("collective-variable" if name.startswith(_COLLECTIVE) else "variable", name), row.get("value")


def _hub(facts: Tables) -> Items:
    for row in facts["hub.models"]:
        revision = str(row.get("path") or "").rpartition("/")[2]
        state = "" if row.get("complete") else f" (incomplete: {row.get('problem')})"
        yield ("model", f"model {row.get('model')}"), f"{revision}{state}"


def _model(facts: Tables) -> Items:
    for row in facts["model"][:1]:
        for column, value in row.items():
            if column not in ("path", "text", "line") and value is not None:
                yield ("model", f"model {column}"), value if not isinstance(value, list) else tuple(map(str, value))


_HOST = (
    "kernel",
    "distribution",
    "glibc",
    "container",
    "machine",
    "cpus",
    "shm_mib",
    "nofile",
    "memlock",
    "memory_limit_mib",
)


def _host(facts: Tables) -> Items:
    for row in facts["host"][:1]:
        for column in _HOST:
            if row.get(column) is not None:
                yield ("host", f"host {column}"), row[column]
        if isinstance(row.get("memory_mib"), int):
            # The kernel keeps a little for itself, which differs from boot to boot.
            yield ("host", "host memory in GiB"), round(row["memory_mib"] / 1024 / 8) * 8
    for row in facts.get("toolkit", ())[:1]:
        yield ("host", "CUDA toolkit"), row.get("version") or row.get("home")


def _clock(facts: Tables) -> Items:
    for row in facts["clock"][:1]:
        yield ("host", "clock"), "synchronized" if row.get("synchronized") else "not synchronized"


def _components(facts: Tables) -> Items:
    for row in facts["components"]:
        yield (
            ("package", f"component {row.get('name')}"),
            str(row.get("version") or "there") if row.get("present") else None,
        )


_READERS: tuple[tuple[tuple[str, ...], Callable[[Tables], Items]], ...] = (
    (("packages", "torch"), _packages),
    (("python",), _python),
    (("driver", "cuda.init"), _driver),
    (("gpus", "gpu.links"), _gpus),
    (("interfaces",), _network),
    (("rdma.devices",), _rdma),
    (("modules",), _modules),
    (("environment",), _variables),
    (("hub.models",), _hub),
    (("model",), _model),
    (("host", "toolkit"), _host),
    (("components",), _components),
    (("clock",), _clock),
)
"""By reader the facts it looks at; a node without the first of them is not compared."""
