"""The steps for what stands beside SGLang (DeepEP, NIXL, Mooncake, vLLM), from ``companions.json`` of the knowledge."""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.derive.wish import Step, Wish, major_of
from sgldoctor.knowledge import releases
from sgldoctor.knowledge.releases import Release, load
from sgldoctor.versions import compare

COMPANIONS = ("deepep", "nixl", "mooncake", "vllm")

Added = tuple[list[Step], list[str]]


def _deepep(found: Release, cuda: str, wish: Wish, pins: Sequence[str]) -> Added:
    known = load("companions.json")["deepep"]
    wheel = next((line for line in found.pins if line.startswith(known["wheel"])), "")
    if wheel:
        why = f"{wheel} comes with SGLang {found.version}; nothing to build"
        return [Step("DeepEP", (f'"$VENV"/bin/python -c "{known["verify"]}"',), why)], []
    shots = load("docker-pins.json")["snapshots"]
    commit = next((shot["pins"]["deepep_commit"] for shot in reversed(shots) if "deepep_commit" in shot["pins"]), "")
    nvshmem = next((pin for pin in pins if pin.startswith("nvidia-nvshmem")), "")
    arch = wish.capability or "9.0"
    steps = [
        Step(
            "DeepEP, 1 of 3: gdrcopy (as root; the kernel module on the host, the library in the container)",
            (
                f"git clone -b v{known['gdrcopy_version']} {known['gdrcopy']} gdrcopy",
                "make -C gdrcopy -j prefix=/opt/gdrcopy lib lib_install",
                "make -C gdrcopy driver && gdrcopy/insmod.sh",
            ),
            "NVSHMEM reaches GPU memory from the CPU with it; without it DeepEP works between nodes only by IBGDA",
        ),
        Step(
            "DeepEP, 2 of 3: NVSHMEM",
            (
                (f"uv pip install --no-deps {nvshmem}",)
                if nvshmem
                else ("uv pip install --no-deps nvidia-nvshmem-cu12",)
            ),
            "torch's own wheel is the one to build against" if nvshmem else "this torch brings none",
            "nothing: it is the version that torch pins" if nvshmem else "",
        ),
        Step(
            "DeepEP, 3 of 3: DeepEP itself, after torch has its final version",
            (
                f"git clone {known['repository']} DeepEP",
                *((f"git -C DeepEP checkout {commit}",) if commit else ()),
                'export NVSHMEM_DIR="$("$VENV"/bin/python -c "import nvidia.nvshmem as n; print(n.__path__[0])")"',
                f'TORCH_CUDA_ARCH_LIST="{arch}" uv pip install --no-build-isolation --no-deps ./DeepEP',
                f'"$VENV"/bin/python -c "{known["verify"]}"',
            ),
            f"compiled against the installed torch for compute capability {arch}; needs the CUDA {cuda} toolkit (nvcc)",
            known["moves"],
        ),
    ]
    notes = ["the DeepEP chain is compiled from source and was not run for this plan"]
    return steps, notes + (
        []
        if wish.capability
        else ["DeepEP is built for compute capability 9.0; name another with --compute-capability"]
    )


def _nixl(_found: Release, cuda: str, _wish: Wish, _pins: Sequence[str]) -> Added:
    known = next((entry for entry in load("companions.json")["nixl"] if entry["cuda"] == major_of(cuda)), None)
    if known is None:
        return [], [f"no NIXL is known for CUDA {cuda}"]
    command = f"uv pip install --no-deps {' '.join(known['packages'])}"
    check = f'"$VENV"/bin/python -c "{known["verify"]}"'
    return [Step("NIXL", (command, check), "--disaggregation-transfer-backend nixl", known["moves"])], []


def _mooncake(found: Release, cuda: str, _wish: Wish, _pins: Sequence[str]) -> Added:
    known = next((entry for entry in load("companions.json")["mooncake"] if entry["cuda"] == major_of(cuda)), None)
    if known is None:
        return [], [f"no Mooncake is known for CUDA {cuda}"]
    version = _image_version(found.version, known.get("image", ""))
    wanted = f"{known['package']}=={version}" if version else f'"{known["package"]}>={known.get("least", "0")}"'
    check = f'"$VENV"/bin/python -c "{known["verify"]}"'
    return [Step("Mooncake", (f"uv pip install --no-deps {wanted}", check),
                 "--disaggregation-transfer-backend mooncake (the default)", known["moves"])], []  # fmt: skip


def _image_version(version: str, package: str) -> str:
    """What SGLang's image of that time, or the nearest one, installs; ``""`` where none is known."""
    best = ""
    for era, pinned_version in releases.image_pins(package) if package else ():
        since = era.split(" ")[0]
        if not best or compare(version, since) >= 0:
            best = pinned_version
    return best


def _vllm(found: Release, _cuda: str, wish: Wish, _pins: Sequence[str]) -> Added:
    step = Step(
        "vLLM, in a second environment",
        (f'uv venv --python {wish.python} "$VENV-vllm"', 'VIRTUAL_ENV="$VENV-vllm" uv pip install vllm'),
        "both pin torch, flashinfer, xgrammar and more, each its own versions",
    )
    measured = [entry for entry in load("companions.json")["vllm"] if entry["sglang"] == found.version]
    notes = [
        f"vLLM {entry['vllm']} in one environment with SGLang {found.version} would move: {'; '.join(entry['moves'])}"
        for entry in measured
    ]
    return [step], notes or [f"what vLLM would move beside SGLang {found.version} in one environment was not measured"]


_STEPS = {"deepep": _deepep, "nixl": _nixl, "mooncake": _mooncake, "vllm": _vllm}


def companion(name: str, found: Release, cuda: str, wish: Wish, pins: Sequence[str]) -> Added:
    """The steps for one of :data:`COMPANIONS` beside a release, and notes; ``pins`` are what the release pins."""
    return _STEPS[name](found, cuda, wish, pins)
