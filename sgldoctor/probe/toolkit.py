"""The CUDA toolkit that just-in-time builds would use, found as torch finds it."""

from __future__ import annotations

import os
import re

from sgldoctor.facts import Facts
from sgldoctor.probe.files import exists, locate, read, which
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target


def toolkit(target: Target) -> Facts:
    """The fact ``toolkit``; one row, with ``home`` empty where no toolkit was found.

    The order is that of ``torch.utils.cpp_extension._find_cuda_home``: CUDA_HOME, CUDA_PATH, nvcc on PATH,
    /usr/local/cuda. The first one that is set wins, even if it does not exist: so does torch.
    """
    facts = Facts()
    home, source = _home(target)
    there = bool(home) and home.startswith("/") and os.path.isdir(locate(target, home))
    nvcc = f"{home.rstrip('/')}/bin/nvcc" if there else ""
    if nvcc and not exists(target, nvcc):
        nvcc = ""
    row = {
        "home": home,
        "exists": there,
        "nvcc": nvcc,
        "version": version(target, home) if there else "",
        "source": source,
        "path_nvcc": which(target, "nvcc"),
    }
    facts.put("toolkit", row, "probe")
    return facts


def _home(target: Target) -> tuple[str, str]:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if target.environ.get(name):
            return target.environ[name], name
    nvcc = which(target, "nvcc")
    if nvcc:
        return os.path.dirname(os.path.dirname(nvcc)), "PATH"
    if exists(target, "/usr/local/cuda"):
        return "/usr/local/cuda", "default"
    return "", ""


def version(target: Target, home: str) -> str:
    """The release of the toolkit at ``home``, such as ``12.8``; ``""`` if its files do not tell."""
    base = home.rstrip("/")
    text = read(target, f"{base}/version.json") or ""
    found = re.search(r'"cuda"\s{0,20}:\s{0,20}\{[^{}]{0,200}"version"\s{0,9}:\s{0,9}"(\d{1,3}\.\d{1,3})', text)
    if found:
        return found.group(1)
    found = re.search(r"CUDA Version (\d{1,3}\.\d{1,3})", read(target, f"{base}/version.txt") or "")
    if found:
        return found.group(1)
    for folder in ("include", "targets/x86_64-linux/include", "targets/sbsa-linux/include"):
        found = re.search(r"#define CUDA_VERSION (\d{4,6})\b", read(target, f"{base}/{folder}/cuda.h", 256 << 10) or "")
        if found:
            number = int(found.group(1))  # 12080 is 12.8 (cuda.h)
            return f"{number // 1000}.{number % 1000 // 10}"
    return ""
