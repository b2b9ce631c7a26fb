"""Deriving: facts and knowledge to further facts. Pure: nothing here reads a machine.

Each module has ``derive(facts) -> Facts``; the stages run in the order of :data:`STAGES`, each only where a fact that
it needs is known, so that an examination imports what it uses and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from sgldoctor.facts import Facts

STAGES = (
    # module, the facts of which at least one must be known
    ("pins", ("packages", "sglang")),
    ("bare", ("packages.missing",)),
    ("libraries", ("loader.missing", "loader.corrupt")),
    ("driver", ("driver", "gpus")),
    ("jit", ("jit.built",)),
    ("rdma", ("modules",)),
    ("topology", ("gpus",)),
    ("machine", ("gpus", "host.events", "host", "disks")),
    ("environment", ("environment", "environment.warned", "libraries.shadowed")),
    ("models", ("log.failed_import",)),
    ("modelfiles", ("model.files",)),
    ("launch", ("launch", "launch.argument", "launch.option", "model")),
    ("transports", ("rdma.registration", "rdma.devices")),
)
"""Stages in order: a later one may use what an earlier one derived."""


def derive(facts: Facts, only: Sequence[str] = ()) -> None:
    """Add everything that follows from ``facts`` to them, or what the stages in ``only`` derive."""
    for name, needs in STAGES:
        if (only and name not in only) or not any(facts.known(need) for need in needs):
            continue
        try:
            facts.merge(import_module(f"sgldoctor.derive.{name}").derive(facts))
        except Exception as error:  # noqa: BLE001 - a defect in one derivation must not hide what the others find
            facts.put_unknown(name, f"deriving from it failed: {type(error).__name__}: {error}", essential=True)
