"""Who can register GPU memory with the network cards here, and whether the cards that a launch line names are usable.

Two ways lead there: ``ibv_reg_mr`` on a GPU address, which needs nvidia_peermem, and ``ibv_reg_dmabuf_mr``, which needs
DMA-BUF of driver, kernel and rdma-core. What each library tries differs, so one of them can fail where another works.
Pure.
"""

from __future__ import annotations

import re

from sgldoctor.derive.effective import Settings, read
from sgldoctor.facts import Facts, Row

OFF = ("0", "false", "off", "no")
ON = ("1", "true", "on", "yes")


def derive(facts: Facts) -> Facts:
    """``rdma.transports`` where a card has an active port, and ``launch.rdma``."""
    found = Facts()
    settings = read(facts) if facts.known("launch.option") else None
    if facts.known("rdma.devices") and settings is not None:
        found.put("launch.rdma", _named(facts, settings), "derived")
    if not facts.known("rdma.registration") or not facts.known("components"):
        return found
    active = any(row.get("state") == "ACTIVE" for row in facts.rows("rdma.devices"))
    found.put("rdma.transports", _transports(facts, settings) if active else [], "derived")
    return found


def _transports(facts: Facts, settings: Settings | None) -> list[Row]:
    environment = {str(row.get("name")): str(row.get("value")).strip().lower() for row in facts.rows("environment")}
    if settings is not None:
        environment.update({name: value.strip().lower() for name, value in settings.environment.items()})
    rows = []
    for component in facts.rows("components"):
        name = str(component.get("name"))
        if component.get("present") and name in LIBRARIES:
            rows.append(_judged(name, component, facts, environment, settings))
    return rows


LIBRARIES = {"mooncake": "Mooncake", "nixl": "NIXL", "nvshmem": "NVSHMEM"}


def _judged(name: str, row: Row, facts: Facts, environment: dict[str, str], settings: Settings | None) -> Row:
    peermem, setting = _tries(name, row, environment)
    loaded = facts.value("rdma.registration", "peermem") == "loaded"
    dmabuf = facts.value("rdma.registration", "dmabuf")
    if peermem is True:
        possible: bool | None = loaded
    elif peermem is False:
        possible = dmabuf
    else:
        possible = True if loaded else dmabuf
    needs = {True: "nvidia_peermem", False: "DMA-BUF", None: "nvidia_peermem or DMA-BUF"}[peermem]
    lacking = {True: "nvidia_peermem is not loaded", False: "DMA-BUF is not offered", None: "neither is there"}[peermem]
    label = LIBRARIES[name]
    text = f"{label} {row.get('version') or ''} needs {needs}".replace("  ", " ") + f", and {lacking}"
    if possible is not False:
        text = f"{label} can register GPU memory" if possible else f"{label}: whether it can could not be asked"
    return {
        "name": label,
        "needs": needs,
        "setting": setting,
        "possible": possible,
        "other": bool(dmabuf) if peermem else loaded,
        "used": _used(name, settings, environment),
        "text": text,
    }


def _tries(name: str, row: Row, environment: dict[str, str]) -> tuple[bool | None, str]:
    """Whether only nvidia_peermem is tried (True), only DMA-BUF (False), or either, and what would change that.

    Mooncake chooses when it is compiled, later releases by WITH_NVIDIA_PEERMEM, true unless it is set; none tries the
    other way after a failure (``rdma_context.cpp``). UCX below NIXL, and NVSHMEM, take DMA-BUF where it is offered.
    """
    if name == "mooncake":
        how = str(row.get("registers") or "")
        if how == "variable":
            return environment.get("WITH_NVIDIA_PEERMEM", "") not in OFF, "WITH_NVIDIA_PEERMEM"
        return {"peermem": True, "dmabuf": False}.get(how), ""
    if name == "nvshmem" and environment.get("NVSHMEM_IB_DISABLE_DMABUF", "") in ON:
        return True, "NVSHMEM_IB_DISABLE_DMABUF"
    return None, ""


def _used(name: str, s: Settings | None, environment: dict[str, str]) -> bool:
    """Whether the launch line moves GPU memory by it, as far as that is certain."""
    if s is None:
        return False
    if name == "nvshmem":
        return s.text("--moe-a2a-backend") == "deepep" and (s.number("--nnodes") or 1) > 1
    if name == "mooncake" and (
        environment.get("MC_FORCE_TCP") or environment.get("MOONCAKE_PROTOCOL", "rdma") not in ("", "rdma")
    ):
        return False
    disaggregated = s.text("--disaggregation-mode") in ("prefill", "decode")
    return disaggregated and s.text("--disaggregation-transfer-backend") == name


def _named(facts: Facts, s: Settings) -> list[Row]:
    """Devices of ``--disaggregation-ib-device`` that are not there, are hidden, or have no active port.

    Only a list of names is judged: JSON, a file, or names with ports say more than can be compared here.
    """
    flag = "--disaggregation-ib-device"
    value = s.text(flag) if s.given(flag) else ""
    if s.text("--disaggregation-mode") not in ("prefill", "decode") or not re.fullmatch(r"[\w-]+(?:,[\w-]+)*", value):
        return []
    ports: dict[str, list[Row]] = {}
    for row in facts.rows("rdma.devices"):
        ports.setdefault(str(row.get("name")), []).append(row)
    rows = []
    for device in value.split(","):
        here = ports.get(device, [])
        if not here:
            known = ", ".join(sorted(ports)) or "none"
            problem, note = "absent", f"{flag} names {device}, and the RDMA devices here are: {known}"
        elif not any(port.get("exposed") for port in here):
            problem, note = "hidden", f"{device} is in this machine, and /dev/infiniband does not show it to us"
        elif not any(port.get("state") == "ACTIVE" for port in here):
            states = ", ".join(sorted({str(port.get("state")) for port in here}))
            problem, note = "down", f"the port of {device} is not active: {states}"
        else:
            continue
        rows.append({"device": device, "problem": problem, "note": note, "text": note})
    return rows
