"""The plan of an installation: what to install in which order for a release, a CUDA and a Python, and why not at all.

Pure: a request and knowledge in, steps out. Pins come from the release's own requirements, what stands beside SGLang
from ``knowledge/data/companions.json``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.derive.companions import COMPANIONS, companion
from sgldoctor.derive.requirement import EARLY
from sgldoctor.derive.wish import Step, Wish, major_of
from sgldoctor.knowledge import drivers, releases
from sgldoctor.knowledge.releases import Release, load
from sgldoctor.typed import NamedTuple
from sgldoctor.versions import compare


class Plan(NamedTuple):
    """A plan, or the reasons why there is none.

    ``requirements`` are what the one resolving install asks for, ``pins`` all exact versions that must hold after it
    (``name==version``), ``notes`` what cannot be proven.
    """

    wish: Wish
    cuda: str
    steps: tuple[Step, ...]
    refused: tuple[str, ...]
    requirements: tuple[str, ...]
    pins: tuple[str, ...]
    notes: tuple[str, ...]


def plan(wish: Wish, itself: Release | None = None) -> Plan:
    """The plan for a release that is known (``releases.known``), or for one as ``itself`` tells."""
    found = itself or releases.release(wish.sglang)
    if found is None:
        return Plan(wish, "", (), (f"SGLang {wish.sglang} is not a release that is known",), (), (), ())
    cuda = lane(found)
    python = wish.python or _python(found)
    wish = wish._replace(python=python)
    other, refused = _other_lane(found, cuda, wish.cuda)
    refused += impossible(found, other or cuda, wish)
    requirements = (releases.server(found), *_early(found, wish))
    pins = tuple(pinned(found, wish, other))
    if refused:
        return Plan(wish, other or cuda, (), tuple(refused), requirements, pins, ())
    steps = [_prepare(wish), _venv(python), _install(found, requirements, other)]
    steps += _lane_steps(found, pins, other)
    steps += _multimodal(found)
    notes: list[str] = []
    if itself:
        notes.append(
            f"SGLang {found.version} is newer than all releases known here (up to {releases.newest()}): planned by the "
            "METADATA of the one that is installed; a newer sgldoctor may know more of it"
        )
    if not cuda:
        torch = _exact(found, "torch") or "its torch"
        notes.append(f"for which CUDA torch {torch} is built, and so which driver it needs, is not known here")
    for name in COMPANIONS:
        if name in wish.companions:
            added, said = companion(name, found, other or cuda, wish, pinned(found, wish))
            steps += added
            notes += said
    if other:
        notes.append(
            "the CUDA 12 builds are on the indexes of PyTorch and of SGLang, not on the package index: --resolve "
            f"cannot prove them, and {found.version} itself asks for CUDA 13 packages, which stay installed beside them"
        )
    steps.append(_verify())
    return Plan(wish, other or cuda, tuple(steps), (), requirements, pins, tuple(notes))


def lane(found: Release) -> str:
    """The CUDA release of the torch that a release pins on the default index, such as ``12.8``; ``""`` if not known."""
    torch = _exact(found, "torch")
    for line in releases.companion("torch", torch) or ():
        match = re.match(r"(?:nvidia-cuda-runtime(?:-cu\d+)?|cuda-toolkit)(?:\[[^\]]*\])?\s*\(?==(\d+\.\d+)", line)
        if match:
            return match[1]
    return ""


def _exact(found: Release, name: str) -> str:
    for line in [*found.pins, *found.extras.get("srt", ())]:
        match = re.match(rf"{re.escape(name)}(?:\[[^\]]*\])?==([\w.!+]+)", line)
        if match:
            return match[1]
    return ""


def _early(found: Release, wish: Wish) -> list[str]:
    """Requirements that only a pre-release satisfies: named, uv accepts it for them and for nothing else."""
    return [text for text in _requirements(found, wish) if EARLY.search(text)]


def _requirements(found: Release, wish: Wish) -> list[str]:
    """The release's own requirements that hold for this Python and machine, without their markers."""
    from packaging.requirements import InvalidRequirement, Requirement

    environment = {
        "python_version": wish.python, "python_full_version": f"{wish.python}.0", "sys_platform": "linux",
        "platform_system": "Linux", "platform_machine": wish.machine, "os_name": "posix", "extra": "",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    out = []
    for line in [*found.pins, *([] if releases.server(found).startswith("sglang==") else found.extras.get("srt", ()))]:
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate(environment):
            extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
            out.append(f"{releases.normalise(wanted.name)}{extras}{wanted.specifier}")
    return out


def pinned(found: Release, wish: Wish, other: str = "") -> list[str]:
    """Every version that the release and its torch pin exactly; without torch's NVIDIA wheels in the ``other`` lane."""
    lines = [re.sub(r"\[[^\]]*\]", "", text) for text in _requirements(found, wish)]
    out = [text for text in lines if re.fullmatch(r"[\w.-]+==[\w.!+]+", text)]
    torch = _exact(found, "torch")
    for line in () if other else releases.companion("torch", torch) or ():
        match = re.match(r"(nvidia-[\w-]+|triton)\s*\(?==([\w.]+)", line)
        if match and wish.machine == "x86_64":
            out.append(f"{match[1]}=={match[2]}")
    return sorted(dict.fromkeys(out))


def _python(found: Release) -> str:
    """A Python that the release takes: 3.12, which SGLang's images use, else the nearest."""
    for version in ("3.12", "3.11", "3.10"):
        if not _refuses_python(found, version):
            return version
    return "3.12"


def _refuses_python(found: Release, python: str) -> str:
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(found.requires_python).contains(f"{python}.0"):
        fitting = [v for v in releases.versions() if _takes(v, python)]
        until = f"; the newest release for it is {fitting[-1]}" if fitting else ""
        return f"SGLang {found.version} needs Python {found.requires_python}, not {python}{until}"
    newest = load("companions.json")["wheels"]["newest_python"]
    if found.wheel not in ("", "pure") and compare(python, newest) > 0:
        last = load("companions.json")["wheels"]["pure_until"]
        return (
            f"SGLang {found.version} has wheels up to Python {newest} only and no source distribution, so on {python} "
            f"an installer silently takes {last} where no version is named"
        )
    return ""


def _takes(version: str, python: str) -> bool:
    from packaging.specifiers import SpecifierSet

    found = releases.release(version)
    return found is not None and SpecifierSet(found.requires_python).contains(f"{python}.0")


def _other_lane(found: Release, default: str, asked: str) -> tuple[str, list[str]]:
    """The lane that is asked for where it is not the default one, or why it cannot be had."""
    major = major_of(asked)
    if not major or not default or major == major_of(default):
        return "", []
    if major == "12":
        last = load("companions.json")["cuda12"]
        if compare(found.version, last["last"]) <= 0:
            return "12.9", []
        newest = [v for v in releases.versions() if compare(v, last["last"]) <= 0][-1]
        plain = _newest_of("12")
        only = f"SGLang {found.version} is built for CUDA {default} only"
        return "", [
            f"{only}; {newest} is the last with a CUDA 12 lane, {plain} the last whose default packages are for CUDA 12"
        ]
    first = next((v for v in releases.versions() if _lane_of(v).startswith(f"{major}.")), "")
    since = f"; CUDA {major} begins with {first}" if first else f"; no release is built for CUDA {major}"
    runs = "; a driver for CUDA 13 runs CUDA 12 builds as well, so --cuda can be left out" if first else ""
    return "", [f"the packages of SGLang {found.version} are built for CUDA {default}{since}{runs}"]


def _lane_of(version: str) -> str:
    found = releases.release(version)
    return lane(found) if found else ""


def _newest_of(major: str) -> str:
    return next((v for v in reversed(releases.versions()) if _lane_of(v).startswith(f"{major}.")), "")


def impossible(found: Release, cuda: str, wish: Wish) -> list[str]:
    """Python, glibc and driver that cannot carry the release."""
    out = [reason] if (reason := _refuses_python(found, wish.python)) else []
    wanted = re.match(r"manylinux_(\d+)_(\d+)", found.wheel)
    have = re.fullmatch(r"(\d+)\.(\d+)", wish.glibc)
    if wanted and have and (int(have[1]), int(have[2])) < (int(wanted[1]), int(wanted[2])):
        last = load("companions.json")["wheels"]["pure_until"]
        out.append(
            f"glibc {wish.glibc} is older than {wanted[1]}.{wanted[2]}, for which the wheels of SGLang {found.version} "
            f"are built; {last} is the last release that installs here"
        )
    needed = drivers.minimum(cuda) if cuda else ""
    if needed and drivers.parts(wish.driver) and drivers.parts(wish.driver) < drivers.parts(needed):
        runs = drivers.newest_major(wish.driver)
        can = (
            f"; it runs CUDA {runs}, for which {_newest_of(runs)} is the last release"
            if runs and _newest_of(runs)
            else ""
        )
        out.append(f"driver {wish.driver} is older than {needed}, which CUDA {cuda} needs{can}")
    return out


def _prepare(wish: Wish) -> Step:
    entries = list(load("companions.json")["system"])
    if "mooncake" in wish.companions:
        entries.append(load("companions.json")["mooncake_system"])
    names = " ".join(entry["package"] for entry in entries)
    why = "; ".join(f"{entry['package']}: {entry['for']}" for entry in entries if entry["for"] != "the same")
    return Step("System packages (as root; Debian and Ubuntu)", (f"apt-get install -y {names}",), why)


def _venv(python: str) -> Step:
    return Step(
        "An environment of its own",
        (f'uv venv --python {python} --seed "$VENV"',),
        "nothing that is installed for something else can move SGLang's packages, nor the other way round",
    )


def _install(found: Release, requirements: Sequence[str], other: str) -> Step:
    names = " ".join(f'"{text}"' for text in requirements)
    early = [text for text in requirements[1:] if not other or text]
    why = "one resolving install of everything at once; nothing is installed before it that it would replace"
    if early:
        why += f"; {', '.join(early)} is named because only a pre-release satisfies it, and uv takes none unasked"
    torch = _exact(found, "torch")
    moves = f"brings torch {torch} with its own NVIDIA wheels, and {found.kernel or 'the kernel'}" if torch else ""
    return Step(f"SGLang {found.version}", (f"uv pip install {names}",), why, moves)


def _lane_steps(found: Release, pins: Sequence[str], other: str) -> list[Step]:
    if not other:
        return []
    label = load("companions.json")["cuda12"]["label"]
    torch = [pin for pin in pins if pin.split("==")[0] in ("torch", "torchvision", "torchaudio")]
    kernel, version = releases.kernel_pin(found.version) or ("", "")
    names = " ".join(f"{pin}+{label}" for pin in torch)
    steps = [
        Step(
            "torch for CUDA 12",
            (f"uv pip install {names} torchvision --index-url https://download.pytorch.org/whl/{label}",),
            "the default index has the CUDA 13 build", "replaces torch and its NVIDIA wheels by those of CUDA 12",
        )
    ]  # fmt: skip
    if kernel:
        steps.append(
            Step(
                "The kernel for CUDA 12",
                (f"uv pip install --reinstall --no-deps {kernel}=={version}+{label} --index-url https://docs.sglang.ai/whl/{label}/",),
                "a kernel built for CUDA 13 does not load beside a torch for CUDA 12",
            )
        )  # fmt: skip
    gemm = next((pin for pin in pins if pin.startswith("sgl-deep-gemm==")), "")
    if gemm:
        steps.append(
            Step(
                "DeepGEMM for CUDA 12",
                (f"uv pip install --reinstall --no-deps {gemm} --index-url https://docs.sglang.ai/whl/{label}/",),
                "the one of the default index is built for CUDA 13 as well",
            )
        )  # fmt: skip
    return steps


def _multimodal(found: Release) -> list[Step]:
    check = load("companions.json")["cudnn_check"]
    since, until = check["present"]
    if not releases.within(found.version, since, until):
        return []
    return [
        Step(
            "Only for models that see: a newer cuDNN",
            (f"uv pip install --no-deps {check['package']}",),
            f"SGLang {since} to {until} refuses multimodal models with the cuDNN that torch pins; not for text models",
            "without --no-deps: cuBLAS and NVRTC as well; any later install that reaches torch takes it back",
        )
    ]


def _verify() -> Step:
    return Step(
        "Proof",
        (
            "uv pip check",
            '"$VENV"/bin/python -c "import torch, sgl_kernel, sglang; print(torch.__version__, sglang.__version__)"',
            'sgldoctor check --python "$VENV"/bin/python',
        ),
        "uv pip check sees requirements, the import needs a GPU, sgldoctor check sees files and libraries as well",
    )
