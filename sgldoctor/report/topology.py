"""A machine's GPUs, NVLink, network devices and NUMA nodes, drawn as SVG from the facts that are known.

What is not known is not drawn: GPUs without a NUMA node stand in one frame without a name, and a pair of GPUs is joined
only where NVML told that they are.
"""

from __future__ import annotations

from html import escape

from sgldoctor.report import telling
from sgldoctor.report.telling import Entry
from sgldoctor.report.text import counted
from sgldoctor.typed import Any

_BOX, _GAP, _HEIGHT = 118, 14, 52
_PAD = 16
_NICS = ("rdma.devices", "interfaces")
DRAWN = 32
"""GPUs, and network devices, that are drawn; a table says more about larger machines."""


def draw(data: Entry) -> str:
    """The drawing as one ``<figure>`` with a text that says the same, or ``""`` where there is nothing to draw."""
    gpus = telling.rows(data, "gpus")[:DRAWN]
    if not gpus:
        return ""
    nics = _nics(data)[:DRAWN]
    frames = _frames(gpus, nics)
    busy = {str(row.get("index")) for row in telling.rows(data, "gpu.busy")}
    busy |= {str(row.get("index")) for row in telling.rows(data, "gpus.unsupported")}
    links = telling.rows(data, "gpu.links")
    parts: list[str] = []
    where: dict[str, int] = {}
    bus = _arcs(gpus, links)
    top = _PAD + (70 if bus == "arcs" else 56 if bus else 8)
    x = _PAD
    for numa, inside, near in frames:
        count = max(len(inside), len(near), 1)
        width = count * _BOX + (count - 1) * _GAP + 2 * _PAD
        height = 24 + _HEIGHT + (36 + _HEIGHT if near else 0) + _PAD + (10 if numa else 0)
        parts.append(f'<rect class="numa" x="{x}" y="{top}" width="{width}" height="{height}" rx="8"/>')
        if numa:
            parts.append(f'<text class="small" x="{x + 10}" y="{top + height - 8}">{escape(numa)}</text>')
        for place, gpu in enumerate(inside):
            left = x + _PAD + place * (_BOX + _GAP)
            index = str(gpu.get("index"))
            where[index] = left + _BOX // 2
            parts.append(_box(left, top + 24, f"gpu{' bad' if index in busy else ''}", f"GPU {index}", _about(gpu)))
        for place, (name, about, up) in enumerate(near):
            left = x + _PAD + place * (_BOX + _GAP)
            parts.append(_box(left, top + 24 + _HEIGHT + 36, f"nic{'' if up else ' down'}", name, about))
        x += width + _GAP
    below = 36 + _HEIGHT if any(near for _, _, near in frames) else 0
    bottom = top + 24 + _HEIGHT + below + 10 + 2 * _PAD
    parts += _wires(bus, gpus, links, where, top + 24)
    said = _said(gpus, nics, links, bus)
    width = x - _GAP + _PAD
    return (
        f'<figure><div class="scroll"><svg class="map" role="img" aria-label="{escape(said)}" width="{width}"'
        f' height="{bottom}" viewBox="0 0 {width} {bottom}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        f'</div><figcaption class="meta">{escape(said)}</figcaption></figure>'
    )


def _nics(data: Entry) -> list[tuple[str, str, bool, Any]]:
    """RDMA devices, else plain interfaces: name, what it is, whether its link is up, NUMA node."""
    found = [
        (
            str(row.get("name")),
            " ".join([str(row.get("rate") or "").partition(" (")[0], str(row.get("link_layer") or "")]).strip(),
            row.get("state") == "ACTIVE",
            row.get("numa"),
        )
        for row in telling.rows(data, "rdma.devices")
    ]
    plain = [
        (str(row.get("name")), f"MTU {row['mtu']}" if row.get("mtu") else "", bool(row.get("up")), row.get("numa"))
        for row in telling.rows(data, "interfaces")
        if row.get("numa") is not None or (not found and row.get("addresses") and row.get("name") != "lo")
    ]
    return found + plain


Frame = tuple[str, list[Entry], list[tuple[str, str, bool]]]


def _frames(gpus: list[Entry], nics: list[tuple[str, str, bool, Any]]) -> list[Frame]:
    """One frame for each NUMA node, then one for what is not known to belong to any."""
    nodes = sorted({row["numa"] for row in gpus if isinstance(row.get("numa"), int)} | {
        numa for _, _, _, numa in nics if isinstance(numa, int)
    })  # fmt: skip
    frames: list[Frame] = [
        (
            f"NUMA node {node}",
            [row for row in gpus if row.get("numa") == node],
            [(name, about, up) for name, about, up, numa in nics if numa == node],
        )
        for node in nodes
    ]
    rest = [row for row in gpus if not isinstance(row.get("numa"), int)]
    other = [(name, about, up) for name, about, up, numa in nics if not isinstance(numa, int)]
    if rest or other:
        frames.append(("NUMA node not known" if nodes else "", rest, other))
    return frames


def _box(x: int, y: int, kind: str, title: str, text: str) -> str:
    return (
        f"<g><title>{escape(f'{title} {text}'.strip())}</title>"
        f'<rect class="{kind}" x="{x}" y="{y}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>'
        f'<text x="{x + _BOX // 2}" y="{y + 22}" text-anchor="middle">{escape(_fit(title, 15))}</text>'
        f'<text class="small" x="{x + _BOX // 2}" y="{y + 39}" text-anchor="middle">{escape(_fit(text, 19))}</text></g>'
    )


def _fit(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _about(gpu: Entry) -> str:
    name = str(gpu.get("name") or "").removeprefix("NVIDIA ")
    total = gpu.get("memory_total_mib")
    return name or (f"{total / 1024:.0f} GiB" if isinstance(total, int | float) else "")


def _arcs(gpus: list[Entry], links: list[Entry]) -> str:
    """How GPUs are joined: ``switch`` (all by NVSwitch), ``arcs`` (some pairs by NVLink or P2P), ``""`` (not known)."""
    if len(gpus) > 1 and all(row.get("nvswitch") for row in gpus):
        return "switch"
    return "arcs" if any(row.get("nvlinks") or row.get("p2p") for row in links) else ""


def _wires(bus: str, gpus: list[Entry], links: list[Entry], where: dict[str, int], top: int) -> list[str]:
    if bus == "switch":
        count = gpus[0].get("nvlinks")
        label = "NVSwitch" + (f", {count} NVLinks each" if count else "")
        left = max(min(where.values()) - 50, _PAD)
        right = max(max(where.values()) + 50, left + 8 * len(label))
        wires = [f'<line class="wire" x1="{at}" y1="{_PAD + 30}" x2="{at}" y2="{top}"/>' for at in where.values()]
        return [
            *wires,
            f'<rect class="switch" x="{left}" y="{_PAD}" width="{right - left}" height="30" rx="6"/>',
            f'<text x="{(left + right) // 2}" y="{_PAD + 20}" text-anchor="middle">{escape(label)}</text>',
        ]
    wires = []
    for row in links if bus else []:
        one, other = where.get(str(row.get("first"))), where.get(str(row.get("second")))
        if one is None or other is None or not (row.get("nvlinks") or row.get("p2p")):
            continue
        rise = min(20 + abs(other - one) // 12, 60)
        label = f"{row['nvlinks']} NVLinks" if row.get("nvlinks") else "P2P over PCIe"
        wires.append(
            f'<path class="wire" d="M{one} {top} C{one} {top - rise},{other} {top - rise},{other} {top}">'
            f"<title>GPU {escape(str(row['first']))} and {escape(str(row['second']))}: {label}</title></path>"
        )
    return wires


def _said(gpus: list[Entry], nics: list[tuple[str, str, bool, Any]], links: list[Entry], bus: str) -> str:
    """The drawing in words, for whoever cannot see it."""
    names = [_about(row) for row in gpus]
    parts = [", ".join(f"{names.count(name)} x {name or 'GPU'}" for name in dict.fromkeys(names))]
    if bus == "switch":
        parts.append("joined by NVSwitch")
    elif any(row.get("nvlinks") for row in links):
        parts.append(f"{counted(sum(bool(row.get('nvlinks')) for row in links), 'pair')} joined by NVLink")
    elif links:
        able = sum(bool(row.get("p2p")) for row in links)
        parts.append(f"{able} of {len(links)} pairs can read each other's memory")
    if nics:
        up = sum(up for _, _, up, _ in nics)
        parts.append(f"{counted(len(nics), 'network device')}, {up} up")
    nodes = {row["numa"] for row in gpus if isinstance(row.get("numa"), int)}
    if nodes:
        parts.append(f"GPUs on {counted(len(nodes), 'NUMA node')}")
    return "; ".join(parts)
