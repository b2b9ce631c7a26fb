"""Installed distributions of the target, read from its site-packages folders without starting its Python."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache

from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.releases import normalise
from sgldoctor.lazy import lazy
from sgldoctor.probe import record, rooted
from sgldoctor.probe.components import components
from sgldoctor.probe.modules import modules, search_path
from sgldoctor.probe.target import Target

HEADER = 1 << 18
"""METADATA is read up to this size; its header, the part before the first empty line, is far smaller."""

CORE = lazy(
    r"(?:sgl|sglang|torch|flashinfer|flash|nvidia|nvshmem|nixl|mooncake|deep|cuda)(?:-.*)?"
    r"|(?:torch(?:vision|audio|codec|ao)|triton|vllm|transformers|numpy|apache-tvm-ffi|xgrammar|pytorch-triton)"
)
"""Distributions whose requirements are kept whole; of the others without what their extras ask for."""

ASKED_BY_EXTRA = lazy(r";.*\bextra\b")

VARIANT = lazy(
    r"(?:if compute_capability == (\d{2,3})|elif compute_capability is not None|else):\s+ops_subdir = [\"'](\w+)[\"']"
)
"""How ``sgl_kernel/load_utils.py`` chooses a folder."""

FIELD = lazy(rb"^(Requires-Dist|Name|Version|Requires-Python):([^\n]*)", re.MULTILINE)
NAME = lazy(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@lru_cache(maxsize=4096)
def is_core(name: str) -> bool:
    """Whether a (normalised) distribution is part of what SGLang stands on, as opposed to an ordinary dependency."""
    return CORE.fullmatch(name) is not None


def packages(target: Target) -> Facts:
    """Facts ``python``, ``packages`` and those that start with ``packages.``, ``record.``, ``torch``, ``components``.

    ``packages`` has one row for each name: the distribution that an import would find. Everything else that was found
    under the same name is in ``packages.duplicates``.
    """
    start = time.perf_counter()
    rooted.UNREAD.clear()
    facts = Facts()
    facts.put("python", _python(target), "probe")
    if not any(rooted.is_folder(target.root, site) for site in target.sites):
        because = f"no site-packages folder in {target.prefix or 'the environment'}"
        facts.put_unknown("packages", because, essential=True)
        return facts
    found, leftovers = _scan(target)
    for site in target.sites:
        if site in rooted.UNREAD:  # half a list would make the other half look absent
            facts.put_unknown("packages", f"cannot list {site}: {rooted.UNREAD[site]}", essential=True)
            return facts
    effective, duplicates = _effective(found)
    facts.put("packages", [_public(row) for row in effective], "probe")
    facts.put("packages.duplicates", duplicates, "probe")
    facts.put("packages.leftovers", leftovers, "probe")
    _torch(target, facts, effective)
    facts.put("components", components(target, effective), "probe")
    facts.put("packages.moved", _moved(target, effective), "probe")
    middle = time.perf_counter()
    facts.merge(record.records(target, found, str(facts.value("python", "machine") or "")))
    facts.merge(modules(target, found))
    facts.seconds["packages"] = round(middle - start, 4)
    facts.seconds["records"] = round(time.perf_counter() - middle, 4)
    return facts


def _python(target: Target) -> Row:
    root = target.root
    minor = ".".join(target.version.split(".")[:2])
    base = rooted.real(root, target.python) if target.python else ""
    marker = f"{os.path.dirname(os.path.dirname(base))}/lib/python{minor}/EXTERNALLY-MANAGED"
    managed = target.kind == "system" and bool(base) and rooted.is_file(root, marker)
    first = next((site for site in target.sites if rooted.is_folder(root, site)), "")
    return {
        "version": target.version,
        "executable": target.python,
        "prefix": target.prefix,
        "kind": target.kind,
        "externally_managed": managed,
        "writable": bool(first) and os.access(rooted.resolve(root, first), os.W_OK),
        "chosen": target.chosen,
        "machine": machine_of(target),
        "gone": "" if target.python else _gone(target),
        "runs": _runs(base, minor),
        "lost": _lost(target, base, minor),
    }


def _runs(base: str, minor: str) -> str:
    """The minor release of the interpreter that is really started, where it is not that of the packages' folder."""
    match = re.fullmatch(r"python(3\.\d{1,3})t?", os.path.basename(base))
    return match[1] if match and minor and match[1] != minor else ""


def _lost(target: Target, base: str, minor: str) -> str:
    """The folder of a virtual environment whose pyvenv.cfg is gone.

    Its ``bin/python`` is a link out of it, and without that file Python takes the packages of where it leads.
    """
    folder = os.path.dirname(os.path.dirname(target.python))
    if target.kind != "system" or not base or not folder.strip("/") or base.startswith(folder + "/"):
        return ""
    site = f"{folder}/lib/python{minor}/site-packages"
    installed = any(name.endswith(".dist-info") for name in rooted.names(target.root, site))
    return folder if installed and not rooted.is_file(target.root, f"{folder}/pyvenv.cfg") else ""


def _gone(target: Target) -> str:
    """Where ``bin/python`` of an environment leads, which nothing is at: its base was removed or not mounted.

    Of an unpacked folder it is not asked: the base may be a part of the image that was left out.
    """
    for name in ("python", "python3") if target.live and target.prefix else ():
        path = target.path(f"{target.prefix}/bin/{name}")
        if os.path.islink(path) and not os.path.exists(path):
            return rooted.resolve("/", path)
    return ""


def machine_of(target: Target) -> str:
    """``x86_64`` or ``aarch64``, from the interpreter's own ELF header, so that a foreign image is judged as itself."""
    head = rooted.read(target.root, target.python, 20) if target.python else None
    if head and len(head) == 20 and head[:4] == b"\x7fELF":
        known = {62: "x86_64", 183: "aarch64"}.get(int.from_bytes(head[18:20], "little"))
        if known:
            return known
    return os.uname().machine if hasattr(os, "uname") else ""


def _scan(target: Target) -> tuple[list[Row], list[Row]]:
    """Every distribution of every site in import order, and what is left of broken or half removed ones."""
    found: list[Row] = []
    leftovers: list[Row] = []
    for site in target.sites:
        for entry in rooted.names(target.root, site):
            path = f"{site}/{entry}"
            if entry.startswith("~"):
                leftovers.append(_leftover(entry.lstrip("~"), path, "left behind by an interrupted pip"))
            elif entry.endswith(".dist-info"):
                row = _distribution(target, site, path, "METADATA")
                if row is None:
                    unread = rooted.UNREAD.get(f"{path}/METADATA")
                    why = (
                        f"its METADATA cannot be read: {unread}"
                        if unread
                        else "no readable METADATA with a name and a version"
                    )
                    leftovers.append(_leftover(entry[: -len(".dist-info")], path, why))
                else:
                    found.append(row)
            elif entry == "EGG-INFO" or entry.endswith(".egg-info"):
                # EGG-INFO: the site is itself an unpacked egg, named by a .pth file (``setup.py install`` of DeepEP).
                folder = rooted.is_folder(target.root, path)
                row = _distribution(target, site, path, "PKG-INFO" if folder else "")
                if row is not None:
                    found.append(row)
            elif entry.endswith(".egg-link"):
                found.extend(_egg_link(target, site, path))
    return found, leftovers


def _moved(target: Target, installed: list[Row]) -> list[Row]:
    """Editable installs whose sources are no longer where they were."""
    rows: list[Row] = []
    for site in target.sites:
        for entry in rooted.names(target.root, site):
            if not entry.endswith(".egg-link"):
                continue
            lines = (rooted.text(target.root, f"{site}/{entry}", 4096) or "").splitlines()
            if lines and lines[0].startswith("/") and not rooted.is_folder(target.root, lines[0].strip()):
                rows.append(_away(normalise(entry.removesuffix(".egg-link")), "", lines[0].strip()))
    for row in installed:
        path = row["direct_url"].removeprefix("file://")
        if not row["editable"] or not path.startswith("/") or rooted.is_folder(target.root, path):
            continue
        module = row["name"].replace("-", "_")
        if not any(rooted.is_folder(target.root, f"{site}/{module}") for site in (*search_path(target), *target.sites)):
            rows.append(_away(row["name"], row["version"], path))
    return rows


def _away(name: str, version: str, path: str) -> Row:
    return {"name": name, "version": version, "path": path, "text": f"{name} is installed from {path}, which is gone"}


def _leftover(name: str, path: str, problem: str) -> Row:
    stem = re.split(r"-\d", name, maxsplit=1)[0]
    # A name that is no UTF-8 could not be written into a report.
    path, stem = (text.encode("utf-8", "replace").decode() for text in (path, stem))
    return {"name": normalise(stem), "path": path, "problem": problem}


def _egg_link(target: Target, site: str, path: str) -> list[Row]:
    lines = (rooted.text(target.root, path, 4096) or "").splitlines()
    folder = lines[0].strip() if lines else ""
    rows = []
    for entry in rooted.names(target.root, folder) if folder.startswith("/") else []:
        if entry.endswith(".egg-info"):
            row = _distribution(target, site, f"{folder}/{entry}", "PKG-INFO")
            if row is not None:
                rows.append({**row, "location": folder, "editable": True})
    return rows


def _distribution(target: Target, site: str, path: str, metadata: str) -> Row | None:
    """One distribution, or None where its metadata cannot be read or names nothing."""
    data = rooted.read(target.root, f"{path}/{metadata}" if metadata else path, HEADER)
    if not data:
        return None
    end = data.find(b"\n\n")
    header = data[: end if end >= 0 else (data.find(b"\r\n\r\n") if b"\r\n\r\n" in data else len(data))]
    # Continuation lines start with a blank and so match nothing.
    fields: dict[bytes, list[str]] = {b"Name": [], b"Version": [], b"Requires-Python": [], b"Requires-Dist": []}
    for field, value in FIELD.findall(header):
        fields[field].append(value.strip().decode("utf-8", "replace"))
    name, version, python = ("".join(fields[field][:1]) for field in (b"Name", b"Version", b"Requires-Python"))
    requires = fields[b"Requires-Dist"]
    if not version or not NAME.fullmatch(name):
        return None
    name = normalise(name)
    if not is_core(name):
        requires = [line for line in requires if not ASKED_BY_EXTRA.search(line)]
    row: Row = {
        "name": name,
        "version": version,
        "location": site,
        "installer": (rooted.text(target.root, f"{path}/INSTALLER", 64) or "").strip()[:32],
        "editable": False,
        "direct_url": "",
        "requires": requires,
        "requires_python": python,
        "_path": path,
        "_installed": rooted.modified(target.root, path),
    }
    origin = rooted.text(target.root, f"{path}/direct_url.json", 65536)
    if origin is not None:
        row["direct_url"], row["editable"] = _origin(origin)
    return row


def _origin(text: str) -> tuple[str, bool]:
    """URL without credentials, and whether the install is editable, of a ``direct_url.json`` (PEP 610)."""
    import json

    try:
        data = json.loads(text)
        url = str(data["url"])
        editable = bool(data.get("dir_info", {}).get("editable"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", False
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0].partition("#")[0], editable


def _effective(found: list[Row]) -> tuple[list[Row], list[Row]]:
    """One row for each name, and the names that occur more than once.

    In one folder the distribution that was installed last owns the files; of several folders the first is imported
    from. A second folder is worth a word only for the core: everywhere else it is how layered environments look.
    """
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(row["name"], []).append(row)
    effective, duplicates = [], []
    for name, rows in groups.items():
        same = [row for row in rows if row["location"] == rows[0]["location"]]
        best = max(same, key=lambda row: (row["_installed"], row["version"]))
        effective.append(best)
        others = [row for row in rows if row is not best and (row in same or is_core(name))]
        if others and any((row["version"], row["location"]) != (best["version"], best["location"]) for row in others):
            told = [best, *others]
            duplicates.append(
                {
                    "name": name,
                    "versions": [row["version"] for row in told],
                    "locations": [row["location"] for row in told],
                    "same_folder": len(same) > 1,
                }
            )
    effective.sort(key=lambda row: str(row["name"]))
    return effective, duplicates


def _public(row: Row) -> Row:
    return {key: value for key, value in row.items() if not key.startswith("_")}


def _torch(target: Target, facts: Facts, installed: list[Row]) -> None:
    """Facts ``torch`` and the raw ``kernel.folder`` and ``flashinfer.check``, from files of these packages."""
    by_name = {row["name"]: row for row in installed}
    for site in target.sites:
        text = rooted.text(target.root, f"{site}/torch/version.py", 65536)
        if text is not None or ("torch" in by_name and by_name["torch"]["location"] == site):
            built = torch_build(text or "", by_name.get("torch", {}).get("version", ""))
            wanted = _exact(by_name.get("sglang", {}).get("requires", []), "torch")
            facts.put("torch", {**built, "wanted": wanted}, "probe")
            break
    for site in target.sites:
        folder = f"{site}/sgl_kernel"
        if rooted.is_folder(target.root, folder):
            whole = rooted.is_file(target.root, folder + "/__init__.py")
            facts.put("kernel.folder", {"path": folder, "importable": whole}, "probe")
            facts.put("kernel.variants", _variants(target, folder), "probe")
            break
    for site in target.sites:
        text = rooted.text(target.root, f"{site}/flashinfer/jit/env.py", 262144)
        if text is not None:
            facts.put("flashinfer.check", {"raises": "Ignoring incompatible flashinfer" not in text}, "probe")
            break


def _variants(target: Target, folder: str) -> list[Row]:
    """Which ``common_ops`` each GPU loads, by the kernel's own ``load_utils.py``; nothing where it has no choice.

    It compares the compute capability with one number, ``90`` for Hopper, takes a folder for it and another for all
    other GPUs, and ``common_ops`` beside itself where that folder holds none (sgl-kernel 0.3.21, sglang-kernel 0.4.10).
    """
    text = rooted.text(target.root, f"{folder}/load_utils.py", 262144) or ""
    rows: list[Row] = []
    beside = any(name.startswith("common_ops.") for name in rooted.names(target.root, folder))
    for match in VARIANT.finditer(text):
        number = match[1] or ""
        there = any(name.startswith("common_ops.") for name in rooted.names(target.root, f"{folder}/{match[2]}"))
        capability = f"{number[:-1]}.{number[-1]}" if number else ""
        if not any(row["capability"] == capability for row in rows):
            rows.append({"capability": capability, "folder": match[2], "present": there or beside})
    return rows


def torch_build(text: str, version: str) -> Row:
    """What ``torch/version.py`` says, read as text; ``version`` (of METADATA) is used where it says nothing.

    Local labels alone do not tell the build: wheels of the default index carry none in METADATA.
    """

    def value(name: str) -> str:
        match = re.search(rf"^{name}\b[^=\n]*=\s*(?:'([^'\n]*)'|\"([^\"\n]*)\")", text, re.MULTILINE)
        return (match[1] or match[2] or "") if match else ""

    full = value("__version__") or version
    public, _, local = full.partition("+")
    cuda = value("cuda")
    if cuda:
        build = "cuda"
    elif value("hip") or value("rocm"):
        build = "rocm"
    elif text:
        build = "cpu"
    else:
        label = re.match(r"cu|rocm|cpu", local)
        build = {"cu": "cuda", "rocm": "rocm", "cpu": "cpu"}[label[0]] if label else ""
    return {"version": public, "local": local, "build": build, "cuda": cuda}


def _exact(requires: list[str], name: str) -> str:
    for line in requires:
        match = re.match(rf"{name}\s*(?:\[[^\]]*\])?\s*\(?==\s*([\w.+!-]+)\)?\s*(;.*)?$", line)
        if match and "extra" not in (match[2] or ""):
            return match[1]
    return ""
