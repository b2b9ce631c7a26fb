"""Values of environment variables: what cannot be parsed, is out of range, or names something that is not there."""

from __future__ import annotations

import re

from sgldoctor.facts import Facts, Row

# What EnvBool, EnvInt and EnvFloat of srt/environ.py take (0.5.3..0.5.23); anything else means the default.
_EXPECTED = {"bool": "true, 1, yes, y, false, 0, no or n", "int": "a whole number", "float": "a number"}
_SAID = {"bool": "boolean", "int": "integer", "float": "float"}
_LOCAL = ("localhost", "127.0.0.1")
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def invalid(facts: Facts, values: dict[str, str], at: int | None) -> list[Row]:
    """Values that the release cannot parse, and device lists that hide GPUs; ``at`` None is the newest."""
    rows = [row for name, value in values.items() if name.startswith("SGLANG_") and (row := _typed(name, value, at))]
    rows += _visible(facts, values)
    nic = values.get("SGLANG_LOCAL_IP_NIC")
    if (
        nic
        and facts.known("packages")
        and not any(row.get("name", "") == "netifaces" for row in facts.rows("packages"))
    ):
        note = "SGLANG_LOCAL_IP_NIC needs the package netifaces, which SGLang does not require by itself."
        rows.append({"name": "SGLANG_LOCAL_IP_NIC", "value": nic, "expected": "the package netifaces", "note": note})
    return rows


def _typed(name: str, value: str, at: int | None) -> Row | None:
    from sgldoctor.knowledge.variables import FALSE, TRUE, declaration, releases
    from sgldoctor.report.redact import REDACTED

    kind, default = declaration(name, len(releases()) - 1 if at is None else at)
    if kind not in _EXPECTED or value == REDACTED:
        return None
    if kind == "bool":
        fits = value.lower() in (*TRUE, *FALSE)
    else:
        try:
            fits = (int(value) if kind == "int" else float(value)) is not None
        except ValueError:
            fits = False
    if fits:
        return None
    note = f'"{value}" is not a valid {_SAID[kind]} value: SGLang warns and uses the default {default}.'
    return {"name": name, "value": value, "expected": _EXPECTED[kind], "note": note}


def _visible(facts: Facts, values: dict[str, str]) -> list[Row]:
    """``CUDA_VISIBLE_DEVICES`` as the CUDA driver reads it: what follows the first unknown entry is hidden too."""
    name = "CUDA_VISIBLE_DEVICES"
    if name not in values:
        return []
    value = values[name]
    entries = [entry.strip() for entry in value.split(",")]
    gpus = facts.rows("gpus")
    expected = ", ".join(str(row.get("index", "")) for row in gpus) if gpus else "indices or UUIDs of GPUs"
    first = entries[0]
    if first == "" or first == "-1" or not re.match(r"\d+$|GPU-|MIG-", first):
        note = f"{name}={value} hides every GPU from CUDA."
        return [{"name": name, "value": value, "expected": expected, "note": note}]
    if not gpus or facts.source("gpus") != "probe":  # what a log shows may be another machine, or a part
        return []
    known = {str(row.get("index", "")) for row in gpus}
    uuids = [str(row.get("uuid") or "") for row in gpus]
    for place, entry in enumerate(entries):
        # A UUID may be shortened as long as it is unique; MIG instances are not listed by us.
        if entry.startswith("MIG-") or (entry.startswith("GPU-") and any(one.startswith(entry) for one in uuids)):
            continue
        if entry not in known:
            note = f"There is no GPU {entry or '(empty)'}: CUDA sees only the {place} named before it."
            return [{"name": name, "value": value, "expected": expected, "note": note}]
    return []


def beyond(values: dict[str, str], at: int | None, release: str) -> list[Row]:
    """Values above what an assert of the release allows."""
    named = [name for name in values if name.startswith("SGLANG_") and re.fullmatch(r"\s*\d{1,9}\s*", values[name])]
    if not named:
        return []
    from sgldoctor.knowledge.variables import declaration, inside, knowledge, reads, releases

    rows: list[Row] = []
    newest = len(releases()) - 1
    for name in named:
        limit = knowledge().limits.get(name)
        if limit is None or int(values[name]) <= limit.largest:
            continue
        if at is not None and not (inside(limit.present, at) and reads(name, at)):
            continue
        default = declaration(name, newest if at is None else at)[1]
        which = f"SGLang {release}" if at is not None else f"SGLang {releases()[limit.present[0][0]]} and later"
        advice = f"unset it (default {default})" if default else "unset it"
        rows.append(
            {
                "name": name,
                "value": values[name].strip(),
                "limit": limit.largest,
                "default": default,
                "note": f"{which} asserts at most {limit.largest} ({limit.where}), without a message; {advice}.",
            }
        )
    return rows


def interfaces(facts: Facts, values: dict[str, str]) -> list[Row]:
    """Variables that name no interface of this machine, in the syntax of whoever reads them."""
    there = [str(row.get("name", "")) for row in facts.rows("interfaces")]
    devices = list(dict.fromkeys(str(row.get("name", "")) for row in facts.rows("rdma.devices")))
    # Whole names separated by commas; gloo fails on the first that is missing.
    wrong = [
        (name, there)
        for name in ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "SGLANG_LOCAL_IP_NIC")
        if values.get(name) and any(part.strip() not in there for part in values[name].split(","))
    ]
    prefixes = [("NCCL_SOCKET_IFNAME", there), ("NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME", there)]
    if facts.known("rdma.devices"):
        prefixes.append(("NCCL_IB_HCA", devices))
    wrong += [(name, among) for name, among in prefixes if values.get(name) and not nccl_match(values[name], among)]
    return [{"name": name, "value": values[name], "interfaces": among} for name, among in wrong]


def nccl_match(wanted: str, there: list[str]) -> list[str]:
    """The interfaces that NCCL would take: a list of prefixes, ``=`` before it for whole names, ``^`` to exclude.

    Source: NCCL user guide, NCCL_SOCKET_IFNAME and NCCL_IB_HCA; ``:port`` after a name is not looked at. The loopback
    and docker bridges are taken only if nothing else is there, which for our question is still a match.
    """
    exclude = wanted.startswith("^")
    body = wanted[1:] if exclude else wanted
    exact = body.startswith("=")
    names = [part.strip().partition(":")[0] for part in body.lstrip("=^").split(",") if part.strip()]

    def hit(one: str) -> bool:
        return any(one == name if exact else one.startswith(name) for name in names)

    return [one for one in there if hit(one) != exclude]


def toolkit(facts: Facts, values: dict[str, str]) -> list[Row]:
    """``CUDA_HOME`` and ``CUDA_PATH`` that lead nowhere. A colon in them comes from a line meant for a search path."""
    rows: list[Row] = []
    home = facts.one("toolkit")
    for name in ("CUDA_HOME", "CUDA_PATH"):
        value = values.get(name, "")
        if not value:
            continue
        if ":" in value:
            rows.append({"name": name, "value": value, "problem": "colon"})
        elif home.get("source") == name and home.get("exists") is False:
            rows.append({"name": name, "value": value, "problem": "missing"})
        elif home.get("source") == name and home.get("exists") and not home.get("nvcc"):
            rows.append({"name": name, "value": value, "problem": "no nvcc"})
    return rows


def proxies(values: dict[str, str]) -> list[Row]:
    """HTTP proxies that would catch SGLang's requests to itself: ``no_proxy`` does not name this machine.

    SGLang's warm-up and health checks use ``requests`` and ``aiohttp`` against 127.0.0.1 or localhost.
    """
    name = next((one for one in _PROXIES if values.get(one)), "")
    if not name:
        return []
    listed = values.get("no_proxy") or values.get("NO_PROXY") or ""
    exempt = [entry.strip().lstrip(".") for entry in listed.split(",")]
    missing = [host for host in _LOCAL if host not in exempt and "*" not in exempt and not _covers(exempt, host)]
    if not missing:
        return []
    note = f"{name} is set and no_proxy does not name {' and '.join(missing)}: requests to the server itself go there."
    return [{"name": name, "value": values[name], "missing": ", ".join(missing), "note": note}]


def _covers(exempt: list[str], host: str) -> bool:
    """Whether a network such as ``127.0.0.0/8`` covers the host (``requests`` understands CIDR in no_proxy)."""
    return host == "127.0.0.1" and any(re.fullmatch(r"127\.\d+\.\d+\.\d+/\d{1,2}", entry) for entry in exempt)
