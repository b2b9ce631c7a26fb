from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from sgldoctor.facts import Facts
from sgldoctor.probe.gpu import gpus
from tests.probe.machine import lay, library, needs_gcc, target

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder@U22)  Tue\n"
CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: gcc 12\n"
)

# The few NVML calls that say enough; all others are absent, as in a driver older than pynvml.
NVML = r"""
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInitWithFlags(unsigned f) { %(init)s return 0; }
int nvmlInit_v2(void) { %(init)s return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "Unknown Error"; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { strcpy(s, "580.159.04"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *v) { *v = 13000; return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = (void *)(long)(i + 1); return i == 1 ? 15 : 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { strcpy(s, "NVIDIA H100 80GB HBM3"); return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) { strcpy(s, "GPU-0123"); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory_t *m) {
    m->total = 81920ull << 20; m->free = 20480ull << 20; m->used = 61440ull << 20; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *h, int *a, int *b) { *a = 9; *b = 0; return 0; }
int nvmlDeviceGetP2PStatus(void *a, void *b, int kind, int *status) { *status = 5; return 0; }
int nvmlDeviceGetPersistenceMode(void *h, unsigned *m) { *m = 1; return 0; }
typedef struct { char old[16]; unsigned domain, bus, device, id, sub; char bus_id[32]; } pci_t;
int nvmlDeviceGetPciInfo_v3(void *h, pci_t *p) { memset(p, 0, sizeof *p);
    strcpy(p->bus_id, h == (void *)1 ? "00000000:1B:00.0" : "00000000:5D:00.0"); return 0; }
int nvmlDeviceGetVbiosVersion(void *h, char *s, unsigned n) { strcpy(s, "96.00.89.00.01"); return 0; }
int nvmlDeviceGetTopologyCommonAncestor(void *a, void *b, int *level) { *level = 50; return 0; }
int nvmlDeviceGetNvLinkState(void *h, unsigned link, int *state) { *state = link < 4; return link < 6 ? 0 : 3; }
int nvmlDeviceGetNvLinkRemoteDeviceType(void *h, unsigned link, int *type) { *type = 0; return 0; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *h, unsigned link, pci_t *p) { memset(p, 0, sizeof *p);
    strcpy(p->bus_id, h == (void *)1 ? "00000000:5D:00.0" : "00000000:1B:00.0"); return 0; }
"""
CUDA = r"""
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) { %(init)s }
int cuGetErrorName(int code, const char **name) { *name = code ? "CUDA_ERROR_SAID_SO" : "CUDA_SUCCESS"; return 0; }
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int ordinal) { *d = ordinal; return 0; }
int cuDeviceGetAttribute(int *v, int attribute, int d) { *v = attribute == 124; return attribute == 128 ? 1 : 0; }
"""


def fake(folder: Path, *, nvml: str = "", cuda: str = "return 0;", seconds: float = 30.0) -> Facts:
    """Ask a driver made of two compiled stubs, found as a real one would be: through the loader's path."""
    library(folder, "libnvidia-ml.so.1", NVML % {"init": nvml})
    library(folder, "libcuda.so.1", CUDA % {"init": cuda})
    return gpus(target("/", {**os.environ, "LD_LIBRARY_PATH": str(folder)}), seconds)


def because(facts: Facts, what: str) -> str:
    return next(entry.because for entry in facts.unknown if entry.what == what)


def test_a_folder_is_not_asked_but_its_proc_is_read(tmp_path: Path) -> None:
    root = lay(tmp_path, {"/proc/driver/nvidia/version": OPEN})
    facts = gpus(target(root))
    driver = {"version": "580.159.04", "cuda": "", "module": "open", "nvml": None, "loaded": True, "hardware": True}
    assert facts.one("driver") == driver
    assert "not this machine" in because(facts, "gpus")
    assert not facts.known("gpus")


def test_proprietary_module(tmp_path: Path) -> None:
    root = lay(tmp_path, {"/proc/driver/nvidia/version": CLOSED})
    driver = gpus(target(root)).one("driver")
    assert (driver["version"], driver["module"]) == ("550.54.15", "proprietary")


PCI = "/sys/bus/pci/devices/0000:00:06.0"


@pytest.mark.parametrize(
    ("files", "hardware"),
    [
        ({f"{PCI}/vendor": "0x10de\n", f"{PCI}/class": "0x030200\n"}, True),
        ({f"{PCI}/vendor": "0x10de\n", f"{PCI}/class": "0x068000\n"}, False),  # an NVSwitch is no GPU
        ({f"{PCI}/vendor": "0x1af4\n", f"{PCI}/class": "0x030000\n"}, False),
        ({"/dev/dxg": ""}, True),
        ({}, None),
    ],
)
def test_hardware_is_seen_without_a_driver(tmp_path: Path, files: dict[str, str], hardware: bool | None) -> None:
    assert gpus(target(lay(tmp_path, files))).value("driver", "hardware") is hardware


def test_module_without_its_proc_file(tmp_path: Path) -> None:
    root = lay(tmp_path, {"/proc/modules": "nvidia 1 0 - Live 0x0\n"})
    driver = gpus(target(root)).one("driver")
    assert driver["loaded"] is True
    assert driver["version"] == ""


def test_no_driver_at_all(tmp_path: Path) -> None:
    facts = gpus(target(lay(tmp_path, {"/proc/modules": "nvidia_not 1 0 - Live 0x0\n"})))
    assert facts.value("driver", "loaded") is False


@needs_gcc
def test_a_working_driver(tmp_path: Path) -> None:
    facts = fake(tmp_path)
    gpu, third = facts.rows("gpus")
    assert (gpu["index"], third["index"]) == (0, 2)
    assert facts.rows("gpu.links") == ({"first": 0, "second": 2, "p2p": False, "nvlinks": 4, "path": "SYS"},)
    assert (gpu["pci"], gpu["vbios"]) == ("0000:1b:00.0", "96.00.89.00.01")
    assert (gpu["nvlinks"], gpu["nvswitch"]) == (4, False)
    assert gpu["name"] == "NVIDIA H100 80GB HBM3"
    assert (gpu["memory_total_mib"], gpu["memory_free_mib"], gpu["memory_used_percent"]) == (81920, 20480, 75.0)
    assert (gpu["capability"], gpu["persistence"], gpu["ecc_uncorrected"]) == ("9.0", True, None)
    assert facts.value("driver", "cuda") == "13.0"
    init = facts.one("cuda.init")
    assert (init["code"], init["devices"], init["dmabuf"], init["rdma"], init["cuda"]) == (0, 1, True, False, "12.4")
    # The second GPU does not answer: unknown, and not silently left out.
    assert "NVML" in because(facts, "GPU 1")


@needs_gcc
def test_cuda_fails_while_nvml_works(tmp_path: Path) -> None:
    facts = fake(tmp_path, cuda="return 804;")
    assert facts.value("driver", "nvml") is True
    assert facts.value("cuda.init", "code") == 804
    assert "compat" in facts.value("cuda.init", "meaning")


@needs_gcc
def test_nvml_refuses(tmp_path: Path) -> None:
    facts = fake(tmp_path, nvml="return 18;", cuda="return 803;")
    assert facts.value("driver", "nvml") is False
    assert "mismatch" in because(facts, "gpus")
    assert facts.value("cuda.init", "code") == 803


@needs_gcc
def test_a_hanging_cuinit_costs_its_limit_and_is_named(tmp_path: Path) -> None:
    begin = time.monotonic()
    facts = fake(tmp_path, cuda="sleep(60); return 0;", seconds=2.0)
    assert time.monotonic() - begin < 30
    assert "2 s in cuInit" in because(facts, "cuda.init")
    assert len(facts.rows("gpus")) == 2  # what NVML had said before is kept


@needs_gcc
def test_a_crash_is_named(tmp_path: Path) -> None:
    facts = fake(tmp_path, nvml="__builtin_trap();")
    assert "died in nvmlInit: signal" in because(facts, "gpus")
    assert because(facts, "cuda.init") == because(facts, "gpus")


@needs_gcc
def test_the_child_sees_the_targets_devices_and_no_python_of_it(tmp_path: Path) -> None:
    """CUDA_VISIBLE_DEVICES reaches the child; PYTHONPATH and PYTHONSTARTUP of a sick environment do not."""
    lay(tmp_path / "evil", {"json.py": "raise SystemExit(3)", "sitecustomize.py": "raise SystemExit(4)"})
    library(tmp_path, "libnvidia-ml.so.1", NVML % {"init": ""})
    body = "const char *v = getenv(\"CUDA_VISIBLE_DEVICES\"); return v && v[0] == '7' ? 100 : 0;"
    library(tmp_path, "libcuda.so.1", CUDA % {"init": body})
    environ = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": str(tmp_path / "evil"),
        "CUDA_VISIBLE_DEVICES": "7",
    }
    facts = gpus(target("/", environ), 30.0)
    assert facts.value("cuda.init", "code") == 100


@needs_gcc
def test_no_libcuda(tmp_path: Path) -> None:
    library(tmp_path, "libnvidia-ml.so.1", NVML % {"init": ""})
    (tmp_path / "libcuda.so.1").write_bytes(b"<html>")
    facts = gpus(target("/", {"LD_LIBRARY_PATH": str(tmp_path)}), 30.0)
    assert "libcuda.so.1" in because(facts, "cuda.init")
    assert facts.known("gpus")


def test_runs_from_a_zip_archive(tmp_path: Path) -> None:
    """The child is found also where the package lies in an archive."""
    import subprocess
    import zipfile

    package = Path(__file__).resolve().parents[2] / "sgldoctor"
    archive = tmp_path / "doctor.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in [*package.glob("*.py"), *package.glob("probe/*.py")]:
            out.write(path, f"sgldoctor/{path.relative_to(package)}")
    code = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from sgldoctor.probe import gpu;"
        "from sgldoctor.probe.target import Target; t = Target('/', '', '', (), '', {}, '', '');"
        "assert '.zip' in gpu.__file__; print(gpu._ask(t, 30.0)[0]['cuda'])"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "libcuda.so.1" in ran.stdout or "code" in ran.stdout
