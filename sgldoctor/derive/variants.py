"""The pins of one distribution by release of SGLang, for a log that does not tell which release wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases
from sgldoctor.typed import NamedTuple


class Variant(NamedTuple):
    """``requirements`` hold together for the known releases from ``first`` to ``last``."""

    first: str
    last: str
    requirements: tuple[str, ...]

    @property
    def range(self) -> str:
        """The releases in words."""
        return f"SGLang {self.first}" + ("" if self.first == self.last else f" to {self.last}")


def variants(names: Sequence[str], facts: Facts) -> list[Variant]:
    """The pins of names (as :func:`sgldoctor.derive.needs.pin` takes them), oldest first, equal neighbours as one.

    Only releases that fit are looked at: those that print the log's texts (``log.releases``) and that pin the torch
    which the log names. A release that does not pin one of the names ends its range.
    """
    each = [_each(name) for name in names]
    return joined({version: tuple(pins[version] for pins in each) for version in _fitting(facts)})


def _each(name: str) -> dict[str, str | None]:
    """Every known release, oldest first, with what it pins. From a small file: that of all requirements is large."""
    data = releases.load("pin-variants.json")
    known: list[str] = data["releases"]
    each: dict[str, str | None] = dict.fromkeys(known)
    for first, last, wanted in data["names"].get(releases.normalise(name), ()):
        each.update(dict.fromkeys(known[known.index(first) : known.index(last) + 1], wanted))
    return each


def joined(each: Mapping[str, tuple[str | None, ...]]) -> list[Variant]:
    """Releases, in order, with what each pins, as ranges."""
    found: list[Variant] = []
    before: tuple[str | None, ...] = ()
    for version, wanted in each.items():
        whole = tuple(pin for pin in wanted if pin is not None)
        if len(whole) == len(wanted) and wanted == before:
            found[-1] = found[-1]._replace(last=version)
        elif len(whole) == len(wanted):
            found.append(Variant(version, version, whole))
        before = wanted
    return found


def _fitting(facts: Facts) -> Sequence[str]:
    pins = _each("torch")
    known = list(pins)
    first, last = facts.value("log.releases", "first"), facts.value("log.releases", "last")
    if first in known and last in known:
        known = known[known.index(first) : known.index(last) + 1]
    torch = str(facts.value("torch", "version") or "").partition("+")[0]
    # A torch that no release pins was moved: it tells nothing.
    return [version for version in known if torch and pins[version] == f"torch=={torch}"] or known


def pinned(name: str, version: str, facts: Facts) -> str | None:
    """What :func:`sgldoctor.derive.needs.pin` would say of this release where nothing else is known.

    Reads only the lines that can name it: there are a hundred a release, and parsing one costs more than finding it.
    """
    from sgldoctor.derive import needs

    found = releases.release(version)
    if found is None:
        return None
    name = releases.normalise(name)
    names = needs.KERNELS if name == "kernel" else (name,)
    lines = [*found.pins, *found.extras.get("runtime-common", ()), *found.extras.get("srt", ())]
    direct = _first(names, lines, ("srt", "runtime-common", "runtime_common"), facts)
    if direct or name == "kernel":
        return direct
    required = releases.companion("torch", releases.torch_pin(version)) or ()
    of_torch = _first(names, required, (), facts)
    toolkit = re.search(r"(?m)^cuda-toolkit\[(.*?)\]==([\w.]+)", "\n".join(required))
    if of_torch or toolkit is None:
        return of_torch
    return _first(names, releases.companion("cuda-toolkit", toolkit[2]) or (), toolkit[1].split(","), facts)


def _first(names: Sequence[str], lines: Sequence[str], extras: Sequence[str], facts: Facts) -> str | None:
    """The pin of the first of ``names`` that a line is about, else of the same family with another CUDA suffix."""
    from sgldoctor.derive import needs

    stems = "|".join("[-_.]".join(map(re.escape, re.sub(r"-cu\d+$", "", name).split("-"))) for name in names)
    about = re.compile(rf"(?:{stems})(?:-cu\d+)?(?![\w.-])", re.IGNORECASE)
    found = needs.read([line for line in lines if about.match(line)], set(extras), facts)
    exact = next((need.pin for name in names for need in found if need.name == name), None)
    return exact or next((need.pin for need in found), None)
