"""Who needs what: the requirements of SGLang, torch, the kernel and their kin, from METADATA or else from knowledge.

A pin is looked up here and nowhere else, so that a finding and the repair that it proposes never disagree.
"""

from __future__ import annotations

from functools import lru_cache

from sgldoctor.derive.requirement import read as read_line
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge import releases
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple
from sgldoctor.versions import satisfies, valid

ASSUMED_PYTHON = "3.12"
"""Markers are judged for this Python where the target's is not known (a pasted log)."""

KERNELS = ("sglang-kernel", "sgl-kernel")
"""The two names of one thing: both install the module ``sgl_kernel``."""

OWNER = lazy(
    r"sglang|torch|cuda-toolkit|cuda-python|sgl(?:ang)?-kernel|flashinfer-(?:python|cubin|jit-cache)"
    r"|(?:sgl-)?deep-(?:ep|gemm)|sgl-flash-mla|torchvision|torchaudio"
)
"""Distributions whose requirements count; what any other package wants is not the doctor's business."""


EXTRA = lazy(r"""\bextra\s*==\s*["']([\w.-]+)["']\s*$""")
"""A requirement line that ends in ``extra == "name"`` applies to that extra alone."""


NAME = lazy(r"[a-z0-9](?:[a-z0-9-]{0,100}[a-z0-9])?")
MAJOR = lazy(r"-cu\d+$")
"""The CUDA major in the name of an NVIDIA wheel."""
EXACT = lazy(r"==[\w.!+]+")
BUNDLED = lazy(r"nvidia-.*|cuda-.*")
"""What differs from one build of a torch release to another."""


class Need(NamedTuple):
    """``by`` wants ``name`` to satisfy ``specifier`` (``""``: any version)."""

    name: str
    specifier: str
    extras: tuple[str, ...]
    by: str
    by_version: str

    @property
    def pin(self) -> str:
        """A requirement that satisfies the need: ``name==1.2.3`` where it is exact."""
        return self.name + self.specifier

    @property
    def exact(self) -> str:
        """The version of an ``==`` need without wildcard, else ``""``."""
        return self.specifier[2:] if EXACT.fullmatch(self.specifier) else ""


def installed(facts: Facts) -> dict[str, Row]:
    """The ``packages`` rows by normalised name; the first row of a name is the one that is imported.

    A log may claim anything: what is no name of a distribution is left out, for names end up in requirements.
    """
    return dict(_by_name(_Same(facts.rows("packages"))))


class _Same:
    """Rows known by being the same object: some twenty derivations ask for the names of one examination."""

    def __init__(self, rows: tuple[Row, ...]) -> None:
        self.rows = rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.rows is self.rows

    def __hash__(self) -> int:
        return id(self.rows)


@lru_cache(maxsize=4)
def _by_name(same: _Same) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for row in same.rows:
        name = releases.normalise(str(row.get("name")))
        if row.get("version") and NAME.fullmatch(name):
            rows.setdefault(name, row)
    return rows


def sglang_version(facts: Facts) -> str:
    """The release that is installed or was inferred; ``""`` if unknown."""
    told = facts.value("sglang", "version")
    if told:
        return str(told)
    row = installed(facts).get("sglang") or facts.one("sglang.source")
    return str(row["version"]) if row else ""


def torch_version(facts: Facts) -> str:
    """The public version of the torch that is there; ``""`` if unknown."""
    told = facts.value("torch", "version")
    if not told:
        row = installed(facts).get("torch")
        told = row["version"] if row else ""
    return str(told).partition("+")[0]


def _markers(facts: Facts) -> dict[str, str]:
    version = str(facts.value("python", "version") or ASSUMED_PYTHON)
    machine = str(facts.value("python", "machine") or facts.value("host", "machine") or "x86_64")
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": version if version.count(".") > 1 else version + ".0",
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "linux",
    }


def _read(lines: list[str] | tuple[str, ...], extras: set[str], by: str, version: str, facts: Facts) -> list[Need]:
    """The requirement lines that apply to the target, with ``extras`` asked for; unreadable ones are left out."""
    environment = _markers(facts)
    asked = {releases.normalise(extra) for extra in extras}
    needs = []
    for line in lines:
        # METADATA of cuda-toolkit has a hundred lines for extras that nobody asks for: parsing costs, looking does not.
        named = EXTRA.search(line)
        if named and releases.normalise(named[1]) not in asked:
            continue
        requirement = read_line(line)
        if requirement is None or not requirement.applies(environment, extras):
            continue
        name = releases.normalise(requirement.name)
        wanted = tuple(sorted(releases.normalise(extra) for extra in requirement.extras))
        needs.append(Need(name, requirement.specifier, wanted, by, version))
    return needs


def read(lines: list[str], extras: set[str], facts: Facts) -> list[Need]:
    """Requirement lines of anybody that apply to the target."""
    return _read(lines, extras, "", "", facts)


def applies(line: str, facts: Facts) -> bool:
    """Whether the marker of a requirement line holds on the target, no extra asked for."""
    requirement = read_line(line)
    return requirement is not None and requirement.applies(_markers(facts), set())


def of(name: str, facts: Facts, extras: tuple[str, ...] = ()) -> list[Need]:
    """What the installed (or inferred) distribution ``name`` needs on the target: METADATA first, else knowledge."""
    row = installed(facts).get(name)
    version = str(row["version"]) if row else ""
    if name == "sglang":
        version = sglang_version(facts)
    elif name == "torch":
        version = torch_version(facts)
    lines: list[str] | tuple[str, ...] | None = row.get("requires") if row else None
    if lines is None:
        return at(name, version, facts)
    if name == "sglang":
        return _server(_read(lines, set(), name, version, facts), lambda: list(lines), version, facts)
    return _read(lines, {"", *extras}, name, version, facts)


def at(name: str, version: str, facts: Facts) -> list[Need]:
    """What distribution ``name`` needs at a version, from knowledge alone; nothing where it is not known."""
    if name == "sglang":
        found = releases.release(version)
        if found is None:
            return []
        plain = _read(found.pins, set(), name, version, facts)
        return _server(
            plain, lambda: [*found.extras.get("runtime-common", ()), *found.extras.get("srt", ())], version, facts
        )
    if name in KERNELS:
        torch = releases.kernel_torch(name, version)
        data = releases.load("sglang-releases.json")["kernels"].get(f"{name}=={version.partition('+')[0]}")
        return _read(data["requires_dist"], set(), name, version, facts) if data and torch else []
    needs = _read(releases.companion(name, version) or (), set(), name, version, facts)
    if _other_build(name, version, needs, facts):
        return [need for need in needs if not BUNDLED.fullmatch(need.name)]
    return needs


def _other_build(name: str, version: str, needs: list[Need], facts: Facts) -> bool:
    """Whether the torch at hand is another build than the one that knowledge has, which pins other NVIDIA wheels.

    Knowledge is of the default index; its label follows from the CUDA release that it pins (12.8.90 is ``cu128``).
    Every wheel of torch labels its ``__version__``, but only those of other indexes their METADATA: of a torch of
    another version, the latter alone tells from which index the right one will come: none, where it is of a CUDA major
    that neither the right torch nor the kernel has, for then the lane is the fault itself (:mod:`sgldoctor.fix.lane`).
    """
    if name != "torch":
        return False
    row = installed(facts).get("torch")
    local = str(row["version"]).partition("+")[2] if row else ""
    if torch_version(facts) == version.partition("+")[0]:
        local = str(facts.value("torch", "local") or "") or local
    release = next((need.exact for need in needs if need.name.startswith(("nvidia-cuda-runtime", "cuda-toolkit"))), "")
    if not local or not release or local == "cu" + "".join(release.split(".")[:2]):
        return False
    if torch_version(facts) == version.partition("+")[0] or local.startswith("cu" + release.split(".")[0]):
        return True
    have = installed(facts)
    return any(str(have[name]["version"]).partition("+")[2] == local for name in KERNELS if name in have)


def _server(plain: list[Need], lines: object, version: str, facts: Facts) -> list[Need]:
    """SGLang's needs as a server: before 0.5.3 the plain install was a client, ``sglang[srt]`` the server."""
    if any(need.name == "torch" for need in plain) or not callable(lines):
        return plain
    extras = {"srt", "runtime-common", "runtime_common"}
    more = _read([line for line in lines() if "sglang[" not in line], extras, "sglang", version, facts)
    return [*plain, *(need for need in more if need not in plain)]


class Table(NamedTuple):
    """All that counts of who needs what.

    Attributes:
        needs: for each owner present, in order of authority, what it needs.
        pins: the strongest need of each name.
        torch_wanted: the torch that SGLang pins, if it is known.
        torch_off: whether another torch is installed.
        torch_spare: the needs of the installed torch where it is off: what came with it is no fault of its own.
    """

    needs: dict[str, list[Need]]
    pins: dict[str, Need]
    torch_wanted: str
    torch_off: bool
    torch_spare: dict[str, Need]


def table(facts: Facts) -> Table:
    """Read all owners once.

    Where torch is not the one that SGLang pins, NVIDIA wheels are judged by the torch that SGLang pins (knowledge), for
    that is the one that a repair brings back.
    """
    have = installed(facts)
    needs: dict[str, list[Need]] = {}
    sglang = of("sglang", facts) if "sglang" in have or sglang_version(facts) else []
    if sglang:
        needs["sglang"] = sglang
    wanted = next((need.exact for need in sglang if need.name == "torch" and need.exact), "")
    version = torch_version(facts)
    off = bool(wanted and version) and not satisfies(version, f"=={wanted}")
    own = of("torch", facts) if version else []
    other = at("torch", wanted, facts) if wanted and (off or not version) else []
    needs["torch"] = other or own
    spare = {need.name: need for need in own} if off and other else {}
    toolkit = next((need for need in needs["torch"] if need.name == "cuda-toolkit"), None)
    if toolkit is not None and "cuda-toolkit" in have:
        needs["cuda-toolkit"] = of("cuda-toolkit", facts, toolkit.extras)
    for name in sorted(have, key=lambda name: (name not in KERNELS, not name.startswith("flashinfer"), name)):
        if OWNER.fullmatch(name) and name not in needs:
            needs[name] = of(name, facts)
    pins: dict[str, Need] = {}
    for owner in needs.values():
        for need in owner:
            held = pins.get(need.name)
            if held is None or (need.specifier and not held.specifier):
                pins[need.name] = need
    if toolkit is not None and "cuda-toolkit" not in needs:
        # Absent, or not mentioned in a pasted list: its wheels are not judged, but a repair of one knows its version.
        for need in _read(releases.companion(toolkit.name, toolkit.exact) or (), set(toolkit.extras), toolkit.name,
                          toolkit.exact, facts):  # fmt: skip
            pins.setdefault(need.name, need)
    return Table(needs, pins, wanted, off, spare)


def pin(name: str, facts: Facts) -> str | None:
    """The exact requirement that belongs into this environment; None where it is not known.

    Args:
        name: a distribution (``torch``), a family without its CUDA suffix (``nvidia-cudnn``), or ``kernel``.
        facts: what is known; the installed METADATA decides, else knowledge by torch and SGLang release.
    """
    return look_up(name, table(facts), facts)


def look_up(name: str, known: Table, facts: Facts) -> str | None:
    """As :func:`pin`, with the table at hand."""
    name = releases.normalise(name)
    if name == "kernel":
        for kernel in KERNELS:
            if kernel in known.pins:
                return known.pins[kernel].pin
        return None
    if name == "sglang":
        return _exactly("sglang", sglang_version(facts))
    if name in known.pins:
        return known.pins[name].pin
    if name == "torch":
        # Without SGLang's pin, the torch at hand is right only if some release pins it: another one was moved.
        version = torch_version(facts)
        return _exactly("torch", version) if version in releases.torch_pins() else None
    stem = MAJOR.sub("", name)
    for candidate, need in known.pins.items():
        if candidate.startswith(stem) and MAJOR.sub("", candidate) == stem:
            return need.pin
    if name == "flashinfer-jit-cache":
        # SGLang never pins it; it has to be of flashinfer-python's version. A cubin wheel that is not pinned has no
        # release for every flashinfer-python: it is to be removed.
        base = known.pins.get("flashinfer-python")
        return f"{name}=={base.exact}" if base is not None and base.exact else None
    return None


def _exactly(name: str, version: str) -> str | None:
    """A pin on the version that is there, local label apart; a log's "version" that is none pins nothing."""
    public = version.partition("+")[0]
    return f"{name}=={public}" if public and valid(public) else None
