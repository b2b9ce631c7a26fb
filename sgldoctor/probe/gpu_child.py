"""What asks the NVIDIA driver, in a process of its own: a sick driver hangs or crashes whoever calls it.

Started by :mod:`sgldoctor.probe.gpu`, prints lines ``mark NAME`` before each call that may hang, and ``nvml {...}`` and
``cuda {...}`` as soon as each half is known; so what a killed child had found out is kept, and the last mark names what
hung. Imports pynvml (nvidia-ml-py) and ctypes only, nothing of the environment examined.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable

from sgldoctor.typed import Any

# CUdevice_attribute of cuda.h (CUDA 13.0).
ATTRIBUTES = {
    "capability_major": 75,
    "capability_minor": 76,
    "rdma_vmm": 110,
    "rdma": 116,
    "dmabuf": 124,
    "fabric_handles": 128,
    "multicast": 132,
}


def _say(word: str, value: str) -> None:
    sys.stdout.write(f"{word} {value}\n")
    sys.stdout.flush()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _try(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of one NVML query, None where this GPU, driver or pynvml does not have it."""
    try:
        return call(*arguments)
    except Exception:  # noqa: BLE001 - pynvml raises its own classes, one per code; old ones AttributeError
        return None


def nvml() -> dict[str, Any]:
    """Everything that NVML tells: ``error``, or ``driver``, ``cuda`` and one record per GPU."""
    try:
        import pynvml as n
    except ImportError as error:
        return {"error": f"nvidia-ml-py cannot be imported: {error}", "code": None}
    _say("mark", "nvmlInit")
    try:
        n.nvmlInit()
    except n.NVMLError as error:
        return {"error": str(error), "code": getattr(error, "value", None)}
    _say("mark", "nvmlSystemGetDriverVersion")
    cuda = _try(n.nvmlSystemGetCudaDriverVersion_v2)
    found: dict[str, Any] = {"driver": _text(_try(n.nvmlSystemGetDriverVersion) or ""), "cuda": cuda, "gpus": []}
    count = _try(n.nvmlDeviceGetCount) or 0
    handles: dict[int, Any] = {}
    for index in range(count):
        _say("mark", f"nvmlDeviceGetHandleByIndex({index})")
        try:
            handle = n.nvmlDeviceGetHandleByIndex(index)
        except n.NVMLError as error:  # "GPU is lost", "Insufficient permissions"
            found["gpus"].append({"index": index, "error": str(error)})
            continue
        found["gpus"].append(_gpu(n, index, handle))
        handles[index] = handle
    _say("mark", "nvmlDeviceGetP2PStatus")
    found["links"] = _links(n, handles)
    _try(n.nvmlShutdown)
    return found


def _gpu(n: Any, index: int, handle: Any) -> dict[str, Any]:
    memory = _try(n.nvmlDeviceGetMemoryInfo, handle)
    capability = _try(n.nvmlDeviceGetCudaComputeCapability, handle)
    mig = _try(n.nvmlDeviceGetMigMode, handle)
    persistence = _try(n.nvmlDeviceGetPersistenceMode, handle)
    ecc = _try(
        n.nvmlDeviceGetTotalEccErrors,
        handle,
        getattr(n, "NVML_MEMORY_ERROR_TYPE_UNCORRECTED", 1),
        getattr(n, "NVML_VOLATILE_ECC", 0),
    )
    pci = _try(n.nvmlDeviceGetPciInfo, handle)
    record = {
        "index": index,
        "name": _text(_try(n.nvmlDeviceGetName, handle) or ""),
        "uuid": _text(_try(n.nvmlDeviceGetUUID, handle) or ""),
        "pci": _text(getattr(pci, "busId", "")),
        "total": getattr(memory, "total", None),
        "free": getattr(memory, "free", None),
        "used": getattr(memory, "used", None),
        "capability": f"{capability[0]}.{capability[1]}" if capability else "",
        "ecc": ecc,
        "mig": bool(mig[0]) if mig else False,
        "persistence": None if persistence is None else bool(persistence),
        "fabric": _fabric(n, handle),
        "vbios": _text(_try(n.nvmlDeviceGetVbiosVersion, handle) or ""),
        **_nvlinks(n, handle),
        "processes": [],
    }
    for kind in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
        for process in _try(getattr(n, kind, None) or (lambda _: []), handle) or []:
            record["processes"].append({"pid": process.pid, "used": process.usedGpuMemory})
    return record


MOST_NVLINKS = 18
"""nvml.h: NVML_NVLINK_MAX_LINKS."""
_SWITCH = 2
"""nvml.h: NVML_NVLINK_DEVICE_TYPE_SWITCH."""

_COUNTERS = {"replay": 0, "recovery": 1, "crc": 2}
"""nvml.h, nvmlNvLinkErrorCounter_t: NVML_NVLINK_ERROR_DL_REPLAY, _DL_RECOVERY, _DL_CRC_FLIT."""


def _nvlinks(n: Any, handle: Any) -> dict[str, Any]:
    """How many NVLinks are up, where they lead (PCI address to number), whether to a switch, their errors in sum."""
    up, switch = 0, False
    errors: dict[str, int] = {}
    far: dict[str, int] = {}
    for link in range(MOST_NVLINKS):
        state = _try(n.nvmlDeviceGetNvLinkState, handle, link)
        if state is None:
            if link == 0:
                return {"nvlinks": None, "remote": {}, "nvswitch": False, "nvlink_errors": {}}
            break
        if state != 1:
            continue
        up += 1
        switch = switch or _try(n.nvmlDeviceGetNvLinkRemoteDeviceType, handle, link) == _SWITCH
        for name, counter in _COUNTERS.items():
            count = _try(n.nvmlDeviceGetNvLinkErrorCounter, handle, link, counter)
            if isinstance(count, int):
                errors[name] = errors.get(name, 0) + count
        bus = _text(getattr(_try(n.nvmlDeviceGetNvLinkRemotePciInfo, handle, link), "busId", ""))
        if bus:
            far[bus] = far.get(bus, 0) + 1
    return {"nvlinks": up, "remote": far, "nvswitch": switch, "nvlink_errors": errors}


def _links(n: Any, handles: dict[int, Any]) -> list[tuple[int, int, int, int | None]]:
    """For each pair of GPUs the status of reading peer memory (nvml.h: 0 is fine, anything else tells why not)."""
    # NVML_P2P_CAPS_INDEX_READ is 0 in nvml.h; nvidia-ml-py 13.615 has a tuple there by a stray comma.
    ask, kind = getattr(n, "nvmlDeviceGetP2PStatus", None), 0
    pairs = [(one, other) for one in handles for other in handles if one < other]
    tree = getattr(n, "nvmlDeviceGetTopologyCommonAncestor", None) or (lambda *_: None)
    found = [(one, other, _try(ask, handles[one], handles[other], kind)) for one, other in pairs] if ask else []
    return [
        (one, other, int(status), _try(tree, handles[one], handles[other]))
        for one, other, status in found
        if status is not None
    ]


def _fabric(n: Any, handle: Any) -> dict[str, Any] | None:
    """State of the NVSwitch registration (nvml.h: 0 not supported, 1 not started, 2 in progress, 3 completed)."""
    try:
        info = n.c_nvmlGpuFabricInfo_t()
        n.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(info))
        return {"state": int(info.state), "status": int(info.status)}
    except Exception:  # noqa: BLE001 - absent from older pynvml and drivers
        return None


def cuda() -> dict[str, Any]:
    """What CUDA itself answers: cuInit is really called, since nvidia-smi can be healthy while CUDA is not."""
    _say("mark", "dlopen(libcuda.so.1)")
    try:
        lib = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"error": str(error)}
    found: dict[str, Any] = {}
    _say("mark", "cuInit")
    code = int(lib.cuInit(0))
    name = ctypes.c_char_p()
    if hasattr(lib, "cuGetErrorName"):
        lib.cuGetErrorName(code, ctypes.byref(name))
    found.update({"code": code, "name": _text(name.value or b""), "devices": 0, "attributes": []})
    version = ctypes.c_int()
    if hasattr(lib, "cuDriverGetVersion") and lib.cuDriverGetVersion(ctypes.byref(version)) == 0:
        found["version"] = version.value
    if code == 0:
        count = ctypes.c_int()
        _say("mark", "cuDeviceGetCount")
        lib.cuDeviceGetCount(ctypes.byref(count))
        found["devices"] = count.value
        for ordinal in range(count.value):
            device, value = ctypes.c_int(), ctypes.c_int()
            _say("mark", f"cuDeviceGet({ordinal})")
            if lib.cuDeviceGet(ctypes.byref(device), ordinal):
                continue
            record = {}
            for key, attribute in ATTRIBUTES.items():
                wrong = lib.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
                record[key] = None if wrong else value.value
            found["attributes"].append(record)
    return found


def main() -> None:
    """Ask both and print; NVML first, since it works more often."""
    _say("nvml", json.dumps(nvml()))
    _say("cuda", json.dumps(cuda()))


if __name__ == "__main__":
    main()
