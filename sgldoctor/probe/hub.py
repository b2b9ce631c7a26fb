"""The Hugging Face cache: where it is, and which models in it are incomplete. Read as files; the hub is not asked.

The layout (``models--owner--name/{refs,snapshots,blobs}``, ``*.incomplete`` while a download runs) is documented at
huggingface.co/docs/huggingface_hub/guides/manage-cache and the same in huggingface_hub 0.36 and 2.4.
"""

from __future__ import annotations

import json
import os

from sgldoctor.facts import Facts
from sgldoctor.probe.files import locate, names, read
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

_INDEXES = (
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
)
_TRUE = {"1", "on", "yes", "true"}  # huggingface_hub.constants.ENV_VARS_TRUE_VALUES


def hub(target: Target) -> Facts:
    """The facts ``hub`` and ``hub.models``."""
    facts = Facts()
    home = cache_folder(target)
    entries = names(target, home)
    facts.put(
        "hub",
        {
            "home": home,
            "exists": entries is not None,
            "token": _token(target),
            "offline": any(
                target.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
            ),
        },
        "probe",
    )
    if entries is None and os.path.isdir(locate(target, home)):
        facts.put_unknown("hub.models", f"{home} cannot be listed")
        return facts
    rows = []
    for entry in entries or []:
        if entry.startswith("models--"):
            rows += _model(target, f"{home}/{entry}", entry[len("models--") :].replace("--", "/"))
    facts.put("hub.models", rows, "probe")
    return facts


def user_home(target: Target) -> str:
    """The home folder of whoever runs SGLang."""
    return target.environ.get("HOME") or (os.path.expanduser("~") if target.live else "/root")


def hf_home(target: Target) -> str:
    """``HF_HOME`` or its default, as huggingface_hub computes it."""
    home = user_home(target)
    value = target.environ.get("HF_HOME") or os.path.join(
        target.environ.get("XDG_CACHE_HOME") or f"{home}/.cache", "huggingface"
    )
    return home + value[1:] if value.startswith("~") else value


def cache_folder(target: Target) -> str:
    """The folder that holds ``models--*``, as the target sees it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        value = target.environ.get(name)
        if value:
            return user_home(target) + value[1:] if value.startswith("~") else value
    return f"{hf_home(target)}/hub"


def _token(target: Target) -> bool:
    """Whether a token is there; it is never read into a fact."""
    if any(target.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")):
        return True
    path = target.environ.get("HF_TOKEN_PATH") or f"{hf_home(target)}/token"
    return bool((read(target, path, 64) or "").strip())


def _model(target: Target, folder: str, model: str) -> list[dict[str, object]]:
    """One row for the snapshot that ``refs/main`` names, else for each there is."""
    snapshots = names(target, f"{folder}/snapshots") or []
    main = (read(target, f"{folder}/refs/main", 256) or "").strip()
    chosen = [main] if main in snapshots else snapshots
    partial = [name for name in names(target, f"{folder}/blobs") or [] if name.endswith(".incomplete")]
    if not chosen:
        problem = f"{len(partial)} unfinished downloads and no snapshot" if partial else "no snapshot"
        return [{"model": model, "path": folder, "complete": False, "problem": problem}]
    rows: list[dict[str, object]] = []
    for snapshot in chosen:
        path = f"{folder}/snapshots/{snapshot}"
        problem = missing(target, path)
        if not problem and partial:
            problem = f"{len(partial)} unfinished downloads in blobs"
        rows.append({"model": model, "path": path, "complete": not problem, "problem": problem})
    return rows


def missing(target: Target, snapshot: str) -> str:
    """What a model folder lacks, in words; ``""`` if nothing is known to be missing.

    Looks at links without a blob and at the shards that an index names. A folder without weights is not called
    incomplete: a tokenizer alone is often all that was asked for.
    """
    entries = names(target, snapshot) or []
    dangling = [name for name in entries if not os.path.exists(locate(target, f"{snapshot}/{name}"))]
    absent: list[str] = []
    for index in _INDEXES:
        if index not in entries or index in dangling:
            continue
        text = read(target, f"{snapshot}/{index}", 64 << 20)
        try:
            table = json.loads(text or "")["weight_map"]
            shards = {value for value in table.values() if isinstance(value, str)}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return f"{index} cannot be read"
        absent += sorted(shard for shard in shards if shard not in entries or shard in dangling)
        if absent:
            return f"{len(absent)} of {len(shards)} shards missing: {_some(absent)}"
    if dangling:
        return f"links without a file: {_some(dangling)}"
    return ""


def _some(names_: list[str]) -> str:
    return ", ".join(names_[:3]) + (" ..." if len(names_) > 3 else "")
