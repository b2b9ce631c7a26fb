"""Whether a model that is named can be loaded from what is on the disk, and what would complete it. Pure."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row
from sgldoctor.versions import satisfies

SPARE_MIB = 1024
"""Room that a download needs besides the model itself: temporary files, other caches on the same disk."""
HF_COMMAND = ">=0.34"
"""The releases of huggingface_hub whose program is called ``hf``; before, it was ``huggingface-cli``."""


def derive(facts: Facts) -> Facts:
    """``model.download`` from ``model.files``, ``hub``, ``disks`` and the installed huggingface_hub."""
    out = Facts()
    row = facts.one("model.files")
    if not row:
        return out
    rows: list[Row] = []
    offline, token = facts.value("hub", "offline"), facts.value("hub", "token")
    program = _program(facts) if row["kind"] == "hub" else ""
    have = row["have_mib"] + row["partial_mib"]
    total = row["total_mib"] or _estimated(facts)
    need = max(total - have, 0) if total else 0
    base: Row = {
        "model": row["model"],
        "program": program,
        "need_mib": need,
        "offline": bool(offline),
        "token": bool(token),
    }
    problem, note = _problem(row, offline=bool(offline))
    if problem:
        rows.append({**base, "problem": problem, "note": note, "text": note})
    free = _free(facts)
    if problem in ("absent", "offline", "incomplete") and row["kind"] == "hub":
        if free is not None and need and free < need + SPARE_MIB:
            gib = f"{need / 1024:.1f} GiB are to come and {free / 1024:.1f} GiB are free for the hub's cache"
            rows.append({**base, "problem": "no-room", "note": gib, "text": gib})
        if token is False:
            note = "no token is set: if the repository is gated or private, the download is refused (HF_TOKEN)"
            rows.append({**base, "problem": "no-token", "note": note, "text": note})
    out.put("model.download", rows, "derived")
    return out


def _problem(row: Row, *, offline: bool) -> tuple[str, str]:
    if row["kind"] == "folder" and not row["path"]:
        return "no-folder", f"{row['model']} does not exist"
    if row["damaged"]:
        return "damaged", f"shorter than their headers say: {_some(row['damaged'])}"
    started = row["partial"] or row["missing"] or (row["files"] and not row["weights"])
    if row["missing"]:
        of = f" of {row['shards']} shards" if row["shards"] else " files"
        tail = f"; {row['partial']} downloads were broken off" if row["partial"] else ""
        return "incomplete", f"{len(row['missing'])}{of} are missing: {_some(row['missing'])}{tail}"
    if row["partial"]:
        return "incomplete", f"{row['partial']} downloads were broken off ({row['partial_mib']} MiB of them are there)"
    if started and row["kind"] == "hub":
        return "incomplete", "the cache holds files of it, but no weights"
    if not row["files"]:
        if row["kind"] == "folder":
            return "no-folder", f"{row['model']} is empty"
        if offline:
            return "offline", "it is not in the hub's cache, and offline mode is on"
        return "absent", "it is not in the hub's cache: the server would download it first"
    if row["kind"] == "folder" and not row["config"]:
        return "no-folder", f"{row['model']} holds no config.json"
    return "", ""


def _some(files: list[str], most: int = 4) -> str:
    return ", ".join(files[:most]) + (f" and {len(files) - most} more" if len(files) > most else "")


def _estimated(facts: Facts) -> int:
    """MiB of the weights by the dimensions of the model, where its config.json is there."""
    parts = facts.rows("model.parts")
    return sum(int(part["bytes"]) for part in parts) >> 20


def _free(facts: Facts) -> int | None:
    for row in facts.rows("disks"):
        if "models" in str(row.get("for")) and isinstance(row.get("free_mib"), int):
            return int(row["free_mib"])
    return None


def _program(facts: Facts) -> str:
    """What downloads from the hub in this environment; the name changed with a release of huggingface_hub."""
    version = next((str(row["version"]) for row in facts.rows("packages") if row.get("name") == "huggingface-hub"), "")
    return "huggingface-cli" if version and not satisfies(version, HF_COMMAND) else "hf"
