"""Which build of the kernel the GPUs of this machine load: the others may be damaged or absent without harm. Pure."""

from __future__ import annotations

from sgldoctor.facts import Facts, Row


def selected(facts: Facts) -> dict[str, str]:
    """Compute capability of each GPU here to the folder of ``sgl_kernel`` that it loads; empty where unknown."""
    chosen = {str(row["capability"]): str(row["folder"]) for row in facts.rows("kernel.variants")}
    found = {}
    for gpu in facts.rows("gpus"):
        capability = str(gpu.get("capability") or "")
        folder = chosen.get(capability) or chosen.get("", "")
        if not capability or not folder:
            return {}
        found[capability] = folder
    return found


def unused(file: str, facts: Facts) -> bool:
    """Whether a file is of a build of the kernel that no GPU here loads; False where that is not known."""
    folders = set(selected(facts).values())
    others = {str(row["folder"]) for row in facts.rows("kernel.variants")} - folders
    return bool(folders) and any(f"sgl_kernel/{other}/" in file for other in others)


def unloadable(facts: Facts, kernel: Row) -> list[Row]:
    """Rows of ``kernel.unloadable``: GPUs whose folder of the kernel holds nothing to load."""
    absent = {str(row["folder"]) for row in facts.rows("kernel.variants") if row.get("present") is False}
    rows: list[Row] = []
    for capability, folder in selected(facts).items():
        if folder in absent:
            name = next(str(gpu.get("name")) for gpu in facts.rows("gpus") if gpu.get("capability") == capability)
            text = f"{name} (compute capability {capability}) loads sgl_kernel/{folder}, which holds no common_ops"
            row = {
                "capability": capability,
                "name": name,
                "folder": folder,
                "owner": kernel.get("name") or "the kernel",
            }
            rows.append({**row, "pin": kernel.get("pin") or "", "text": text})
    return rows
