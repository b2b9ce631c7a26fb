"""What changed between an earlier examination and this one: "it worked yesterday". Pure: facts in, rows out.

Compared is what was established both times; what is unknown on either side is no change. Figures that move by
themselves (free memory, processes, ages, disk space) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sgldoctor.facts import Facts, Row
from sgldoctor.typed import Any, NamedTuple

Table = dict[str, Any]
"""What is compared: the name of a thing to its value, a plain one; absent things are not in it."""

_ORDER = ("root", "core", "driver", "library", "launch", "variable", "gpu", "package", "host")
"""Without a cause to go by: SGLang and torch, what they require by name, what CUDA stands on, and so on."""
_ROOTS = ("sglang", "torch")


class About(NamedTuple):
    """One cause that was found, best first: its rule, its area, what it is about and all that it names."""

    rule: str
    area: str
    subject: str
    named: tuple[str, ...]


def changes(before: Facts, after: Facts, causes: Sequence[About], since: str = "") -> list[Row]:
    """Rows of the fact ``changes``, most likely culprit first: what a cause is about, then by kind.

    ``before`` and ``after`` hold derived facts, too, where launch lines are to be compared by their options.
    """
    core = _core(before) | _core(after)
    found = []
    for kind, read in _TABLES:
        then, now = read(before), read(after)
        if then is None or now is None:
            continue
        for what in sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name)):
            place, passing, rule = _blame(kind, what, causes)
            row = {
                "what": what,
                "before": then.get(what),
                "after": now.get(what),
                "kind": kind,
                "blamed_by": rule,
                "since": since,
                "text": f"{what} {_shown(then.get(what))} -> {_shown(now.get(what))}",
            }
            # A library that is missing now is what the cause looks like; what else the cause names is why.
            found.append(((place, kind == "library" and rule != "", passing, _prior(kind, what, core), what), row))
    found.sort(key=lambda pair: pair[0])
    return [{**row, "rank": rank} for rank, (_, row) in enumerate(found, 1)]


def _shown(value: Any) -> str:
    return "absent" if value is None else '""' if value == "" else str(value)


def _core(facts: Facts) -> set[str]:
    """SGLang, torch, and what either requires by name."""
    names = set(_ROOTS)
    for row in facts.rows("packages"):
        if row.get("name") in _ROOTS:
            for line in row.get("requires") or ():
                match = re.match(r"[A-Za-z0-9][\w.-]*", str(line))
                if match:
                    names.add(_normal(match[0]))
    return names


def _prior(kind: str, what: str, core: set[str]) -> int:
    if kind == "package" and what in core:
        return _ORDER.index("root" if what in _ROOTS else "core")
    return _ORDER.index(kind)


def _blame(kind: str, what: str, causes: Sequence[About]) -> tuple[int, int, str]:
    """Which cause names the thing (its place among the causes), whether only in passing, and the cause's rule."""
    name = _normal(what)
    for place, cause in enumerate(causes):
        if name in _words(cause.subject) or (kind == "driver" and cause.area == "driver"):
            return place, 0, cause.rule
        if any(name in _words(text) for text in cause.named):
            return place, 1, cause.rule
    return len(causes), 0, ""


def _words(text: str) -> set[str]:
    """The names in a text such as ``nvidia-cudnn-cu12==X`` or ``libcudnn.so.9``, in normal form."""
    return {_normal(part) for part in re.split(r"[\s=<>!~;,\[\]()'\"]+", text) if part}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _packages(facts: Facts) -> Table | None:
    if not facts.known("packages"):
        return None
    table: Table = {}
    for row in facts.rows("packages"):
        origin = row.get("direct_url") or ("editable" if row.get("editable") else "")
        table.setdefault(str(row.get("name")), f"{row.get('version')}" + (f" ({origin})" if origin else ""))
    # The local label tells CUDA builds of one version apart, where the version itself does not carry it.
    build = facts.one("torch")
    if build.get("cuda") or build.get("build"):
        table["torch build"] = " ".join(str(build[name]) for name in ("build", "cuda") if build.get(name))
    if facts.value("python", "version"):
        table["python"] = facts.value("python", "version")
    return table


def _driver(facts: Facts) -> Table | None:
    if not facts.known("driver"):
        return None
    return {**_columns(facts, "driver", "driver", _DRIVER), **_columns(facts, "cuda.init", "cuInit", ("name", "cuda"))}


_DRIVER = ("version", "cuda", "module", "loaded", "nvml", "hardware")
_HOST = (
    "kernel", "distribution", "glibc", "container", "machine", "cpus", "memory_mib", "memory_limit_mib", "shm_mib",
    "nofile", "nofile_hard", "memlock", "memlock_hard", "gcc", "root",
)  # fmt: skip
_GPU = ("name", "uuid", "capability", "memory_total_mib", "mig", "persistence", "fabric", "ecc_uncorrected")


def _columns(facts: Facts, fact: str, label: str, columns: Sequence[str]) -> Table:
    row = facts.one(fact)
    return {
        (label if column in ("version", "name") else f"{label} {column}"): row[column]
        for column in columns
        if row.get(column) is not None
    }


def _libraries(facts: Facts) -> Table | None:
    """What is wrong with libraries, each with its state; one that is in order is not in the table."""
    found = [table for table in (_troubles(facts, *spec) for spec in _LIBRARY) if table is not None]
    return {name: state for table in found for name, state in table.items()} if found else None


def _troubles(facts: Facts, fact: str, column: str, state: Callable[[Row], str]) -> Table | None:
    if not facts.known(fact):
        return None
    return {str(row[column]): state(row) for row in facts.rows(fact) if row.get(column)}


_LIBRARY: tuple[tuple[str, str, Callable[[Row], str]], ...] = (
    ("record.damaged", "name", lambda row: f"{row.get('count')} files damaged or gone ({row.get('file')})"),
    ("libraries.versions", "library", lambda row: f"without {row.get('version')}"),
    ("symbols.undefined", "needed_by", lambda row: f"{row.get('count')} undefined symbols, first {row.get('symbol')}"),
    ("libraries.shadowed", "library", lambda row: f"taken from {row.get('found')}"),
    ("loader.corrupt", "library", lambda row: str(row.get("problem"))),
    ("loader.missing", "library", lambda row: f"not found ({row.get('at') or 'needed'})"),
)


def _variables(facts: Facts) -> Table | None:
    if not facts.known("environment"):
        return None
    return {str(row.get("name")): row.get("value") for row in facts.rows("environment")}


def _launch(facts: Facts) -> Table | None:
    if not facts.known("launch"):
        return None
    rows = facts.rows("launch.option")
    return {str(row.get("flag")): row.get("value") for row in rows} or {"launch": facts.value("launch", "command")}


def _gpus(facts: Facts) -> Table | None:
    if not facts.known("gpus"):
        return None
    return {
        f"GPU {row.get('index')}" + ("" if column == "name" else f" {column}"): row[column]
        for row in facts.rows("gpus")
        for column in _GPU
        if row.get(column) is not None
    }


def _host(facts: Facts) -> Table | None:
    if not facts.known("host"):
        return None
    return dict(_host_items(facts))


def _host_items(facts: Facts) -> Iterator[tuple[str, Any]]:
    yield from _columns(facts, "host", "host", _HOST).items()
    yield from _columns(facts, "toolkit", "CUDA toolkit", ("version", "home", "nvcc", "path_nvcc")).items()
    yield from _columns(facts, "python", "environment", ("prefix", "writable")).items()
    for row in facts.rows("modules"):
        yield f"module {row.get('name')}", "loaded" if row.get("loaded") else "not loaded"
    for row in facts.rows("components"):
        if row.get("present"):
            yield f"component {row.get('name')}", row.get("version") or row.get("where") or "present"
    for row in facts.rows("rdma.devices"):
        yield f"RDMA {row.get('name')}/{row.get('port')}", f"{row.get('state')} {row.get('rate')}".strip()


_TABLES: tuple[tuple[str, Callable[[Facts], Table | None]], ...] = (
    ("package", _packages),
    ("driver", _driver),
    ("library", _libraries),
    ("launch", _launch),
    ("variable", _variables),
    ("gpu", _gpus),
    ("host", _host),
)
