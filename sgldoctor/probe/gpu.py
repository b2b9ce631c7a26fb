"""GPUs and the NVIDIA driver: files first, then one child with a time limit that asks NVML and CUDA."""

from __future__ import annotations

import json
import os
import re
import sys

from sgldoctor.facts import Facts, Row
from sgldoctor.probe import rooted
from sgldoctor.probe.files import exists, names, numa, read
from sgldoctor.probe.kernel_log import kernel_events
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

# CUresult of cuda.h; the words follow its comments and the causes seen behind each.
MEANINGS = {
    0: "CUDA works",
    1: "invalid value: the libcuda found does not fit the driver",
    2: "out of memory while initialising",
    3: "driver not initialised",
    34: "a stub libcuda was loaded instead of the driver's: a stubs folder comes first on the loader's path",
    46: "the device is busy or unavailable: exclusive compute mode, or held by another process",
    100: "no CUDA device is visible: CUDA_VISIBLE_DEVICES hides them, or the container was started without GPUs",
    101: "invalid device: CUDA_VISIBLE_DEVICES names a device that is not there",
    304: "the operating system refused: device files or permissions (/dev/nvidia*, nvidia_uvm)",
    800: "not permitted: device files or cgroup forbid access",
    802: "system not ready: NVSwitch machines need a running nvidia-fabricmanager of the driver's release",
    803: "driver and libcuda have different releases: reboot after an upgrade, or a stale libcuda is found",
    804: "forward compatibility is not supported on this GPU: a cuda-compat libcuda is found before the driver's",
    999: "unknown error: often nvidia_uvm is not loaded, or the driver needs a reset or reboot",
}
_FABRIC = {0: "", 1: "not started", 2: "in progress", 3: "completed"}
_PASSED = ("PATH", "HOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "XDG_RUNTIME_DIR", "SystemRoot")


def gpus(target: Target, seconds: float = 10.0) -> Facts:
    """The facts ``gpus``, ``gpu.processes``, ``gpu.links``, ``driver``, ``cuda.init`` and ``host.events``.

    Without any trace of a driver no child is started. A child that hangs, crashes or cannot load a library leaves what
    it had found and an "unknown, because" that names the call.
    """
    facts = Facts()
    driver = _driver(target)
    because = "" if target.live else "the target is an unpacked root, not this machine"
    if not because and not _traces(target):
        because = "no NVIDIA driver: no /proc/driver/nvidia, no /dev/nvidiactl and no libnvidia-ml.so.1"
    if because:
        facts.put("driver", driver, "probe")
        facts.put_unknown("gpus", because)  # cuda.init too, and for the same reason: said once
        return facts
    _live(target, facts, driver, seconds)
    facts.put("driver", driver, "probe")
    facts.merge(kernel_events(target))
    return facts


def _driver(target: Target) -> Row:
    """What /proc tells of the driver.

    The first line of /proc/driver/nvidia/version names the module: ``NVRM version: NVIDIA UNIX Open Kernel Module for
    x86_64  580.159.04  Release Build ...`` or ``NVIDIA UNIX x86_64 Kernel Module  550.54.15  ...`` (580.159.04).
    """
    text = read(target, "/proc/driver/nvidia/version")
    row: Row = {"version": "", "cuda": "", "module": "", "nvml": None, "loaded": text is not None}
    row["hardware"] = True if text else _hardware(target)
    if text:
        found = re.search(r"NVRM version:[^\n]{0,120}?\b(\d{3,4}(?:\.\d{1,4}){1,3})\b", text)
        row["version"] = found.group(1) if found else ""
        row["module"] = "open" if "Open Kernel Module" in text else "proprietary" if "Kernel Module" in text else ""
    elif any(line.startswith("nvidia ") for line in (read(target, "/proc/modules") or "").splitlines()):
        row["loaded"] = True
    return row


def _hardware(target: Target) -> bool | None:
    """Whether an NVIDIA GPU is in the machine, by the PCI bus; None where that cannot be seen.

    PCI vendor 10de is NVIDIA; class 03 are display and 3D controllers (a bridge or network card of NVIDIA is no GPU).
    WSL shows the host's GPU as /dev/dxg and not on the bus.
    """
    if exists(target, "/dev/dxg"):
        return True
    devices = names(target, "/sys/bus/pci/devices")
    if devices is None:
        return None
    for name in devices:
        folder = f"/sys/bus/pci/devices/{name}"
        vendor, kind = read(target, f"{folder}/vendor") or "", read(target, f"{folder}/class") or ""
        if vendor.strip().lower() == "0x10de" and kind.strip().lower().startswith("0x03"):
            return True
    return False


def _traces(target: Target) -> bool:
    """Whether anything of an NVIDIA driver is there, so that asking it makes sense."""
    if any(
        exists(target, path) for path in ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
    ):
        return True
    folders = [
        *target.environ.get("LD_LIBRARY_PATH", "").split(":"),
        "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64",
        "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib",
    ]  # fmt: skip
    if any(folder.startswith("/") and exists(target, f"{folder}/libnvidia-ml.so.1") for folder in folders):
        return True
    return b"libnvidia-ml.so.1\0" in (rooted.read(target.root, "/etc/ld.so.cache", 16 << 20) or b"")


def _ask(target: Target, seconds: float) -> tuple[dict[str, Any], str, str]:
    """Run the child: its parsed answers by name, its last mark, and why it did not finish (``""`` if it did)."""
    from sgldoctor.probe.run import run

    environ = {
        name: target.environ[name]
        for name in target.environ
        if name in _PASSED or name.startswith(("CUDA_", "NVIDIA_"))
    }
    # The folder or archive that holds the package; the rest of our own path only for pynvml. Isolated and without site,
    # so neither PYTHONPATH nor a .pth file of a sick environment can get in.
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = json.dumps([home, *(entry for entry in sys.path if entry and entry != home)])
    code = "import sys; sys.path.extend({path}); from sgldoctor.probe.gpu_child import main; main()"
    ran = run([sys.executable, "-I", "-S", "-c", code.replace("{path}", path)], seconds=seconds, environ=environ)
    answers: dict[str, Any] = {}
    mark = "start of the child"
    for line in ran.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word == "mark":
            mark = rest[:80]
        elif word in ("nvml", "cuda"):
            try:
                answers[word] = json.loads(rest)
            except ValueError:  # cut in the middle
                continue
    if ran.because:
        return answers, mark, f"no answer within {seconds:g} s in {mark}" if "no answer" in ran.because else ran.because
    if ran.status:
        last = ran.stderr.strip().splitlines()[-1:] or [""]
        ended = f"signal {-ran.status}" if ran.status < 0 else f"status {ran.status} {last[0][:200]}".rstrip()
        return answers, mark, f"the child died in {mark}: {ended}"
    return answers, mark, ""


def _live(target: Target, facts: Facts, driver: Row, seconds: float) -> None:
    answers, _, because = _ask(target, seconds)
    nvml = answers.get("nvml")
    if nvml is None:
        driver["nvml"] = None
        facts.put_unknown("gpus", because, essential=True)
    elif "error" in nvml:
        driver["nvml"] = False if nvml.get("code") is not None else None
        facts.put_unknown("gpus", f"NVML: {nvml['error']}", essential=True)
    else:
        driver["nvml"] = True
        driver["version"] = nvml.get("driver") or driver["version"]
        driver["cuda"] = _release(nvml.get("cuda")) or driver["cuda"]
        _gpu_rows(target, facts, nvml.get("gpus", []))
        facts.put("gpu.links", _link_rows(nvml), "probe")
    cuda = answers.get("cuda")
    if cuda is None:
        facts.put_unknown("cuda.init", because, essential=True)
    elif "error" in cuda:
        facts.put_unknown("cuda.init", f"libcuda.so.1: {cuda['error']}", essential=True)
    else:
        driver["cuda"] = driver["cuda"] or _release(cuda.get("version"))
        _cuda_rows(facts, cuda)


def _release(number: Any) -> str:
    """``13000`` -> ``13.0`` (CUDA's 1000 * major + 10 * minor)."""
    return f"{number // 1000}.{number % 1000 // 10}" if isinstance(number, int) and number > 0 else ""


_PATHS = {0: "SELF", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""nvml.h, nvmlGpuTopologyLevel_t, by the names that nvidia-smi topo -m has for them."""


def _link_rows(nvml: dict[str, Any]) -> list[Row]:
    remote = {gpu["index"]: gpu.get("remote") or {} for gpu in nvml.get("gpus", [])}
    address = {gpu["index"]: gpu.get("pci", "") for gpu in nvml.get("gpus", [])}
    return [
        {
            "first": one,
            "second": other,
            "p2p": code == 0,
            "nvlinks": remote.get(one, {}).get(address.get(other), 0),
            "path": _PATHS.get(level, ""),
        }
        for one, other, code, level in nvml.get("links", [])
    ]


def _pci(text: str) -> str:
    """NVML's ``00000000:1B:00.0`` as the kernel writes it: ``0000:1b:00.0``."""
    domain, _, rest = text.lower().partition(":")
    return f"{domain[-4:]}:{rest}" if rest else ""


def _gpu_rows(target: Target, facts: Facts, found: list[dict[str, Any]]) -> None:
    rows: list[Row] = []
    held: list[Row] = []
    for gpu in found:
        if "error" in gpu:
            facts.put_unknown(f"GPU {gpu['index']}", f"NVML: {gpu['error']}", essential=True)
            continue
        total, free, used = gpu["total"], gpu["free"], gpu["used"]
        fabric = gpu.get("fabric") or {}
        rows.append(
            {
                "index": gpu["index"],
                "name": gpu["name"],
                "uuid": gpu["uuid"],
                "memory_total_mib": None if total is None else total >> 20,
                "memory_free_mib": None if free is None else free >> 20,
                "memory_used_percent": round(100 * used / total, 1) if total and used is not None else None,
                "capability": gpu["capability"],
                "ecc_uncorrected": gpu["ecc"],
                "mig": gpu["mig"],
                "persistence": gpu["persistence"],
                "fabric": _FABRIC.get(fabric.get("state", 0), ""),
                "pci": _pci(gpu.get("pci", "")),
                "numa": numa(target, f"/sys/bus/pci/devices/{_pci(gpu.get('pci', ''))}"),
                "nvlinks": gpu.get("nvlinks"),
                "nvswitch": bool(gpu.get("nvswitch")),
                "nvlink_replays": (gpu.get("nvlink_errors") or {}).get("replay"),
                "nvlink_recoveries": (gpu.get("nvlink_errors") or {}).get("recovery"),
                "nvlink_crc": (gpu.get("nvlink_errors") or {}).get("crc"),
                "vbios": gpu.get("vbios", ""),
            }
        )
        for process in gpu["processes"]:
            memory = process["used"]
            held.append(
                {
                    "index": gpu["index"],
                    "pid": process["pid"],
                    "name": _process(target, process["pid"]),
                    # NVML answers all ones where it cannot tell (WDDM, another namespace).
                    "memory_mib": memory >> 20 if isinstance(memory, int) and memory < 1 << 60 else None,
                }
            )
    facts.put("gpus", rows, "probe")
    facts.put("gpu.processes", held, "probe")


def _process(target: Target, pid: int) -> str:
    """The name of a process; ``""`` where it is in another PID namespace."""
    return (read(target, f"/proc/{pid}/comm", 256) or "").strip()


def _cuda_rows(facts: Facts, cuda: dict[str, Any]) -> None:
    code = cuda["code"]
    attributes = cuda.get("attributes") or []

    def every(key: str) -> bool | None:
        values = [record.get(key) for record in attributes]
        return None if not values or None in values else all(values)

    facts.put(
        "cuda.init",
        {
            "code": code,
            "name": cuda.get("name", ""),
            "devices": cuda.get("devices", 0),
            "cuda": _release(cuda.get("version")),
            "meaning": MEANINGS.get(code, "see CUresult in the CUDA driver API"),
            "dmabuf": every("dmabuf"),
            "rdma": every("rdma"),
        },
        "probe",
    )
