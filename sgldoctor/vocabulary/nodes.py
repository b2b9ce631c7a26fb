"""Snapshots and many nodes."""

from __future__ import annotations

NODES: dict[str, dict[str, str]] = {
    "snapshot": {
        "file": "the snapshot that was examined",
        "taken": "UTC time at which it was taken",
        "host": "name or pseudonym of its machine",
        "tool": "version of the sgldoctor that wrote it",
    },
    "changes.base": {
        "file": "the earlier snapshot",
        "taken": "UTC time at which it was taken",
        "host": "name or pseudonym of its machine",
        "tool": "version of the sgldoctor that wrote it",
    },
    "changes": {
        "what": "package, library, variable, flag, GPU or property that differs from an earlier snapshot",
        "before": "value then, None where it was not there",
        "after": "value now, None where it is not there",
        "kind": "package, driver, library, variable, launch, gpu or host",
        "rank": "1 for the most likely culprit",
        "blamed_by": "rule of the cause that is about this, or empty",
        "since": "when the earlier snapshot was taken",
    },
    "fleet": {
        "nodes": "number of nodes that were examined",
        "groups": "number of groups of nodes that are alike",
        "unread": "number of nodes or files that gave no snapshot",
    },
    "fleet.unread": {
        "node": "node, or file, that gave no snapshot; several in short",
        "kind": "refused (no usable snapshot), dead, slow (no answer in time) or failed",
        "because": "why",
        "count": "number of nodes",
    },
    "fleet.drift": {
        "kind": "nccl, torch, sglang, network, collective-variable, gpu, driver, topology, kernel-module, firmware, "
        "model, variable, package, python or host",
        "what": "what differs: a package, a variable, the MTU of an interface, ...",
        "majority": "its value on most nodes",
        "value": "its value on these nodes",
        "nodes": "the nodes, in short",
        "count": "number of these nodes",
        "total": "number of nodes on which it could be seen",
        "tie": "True where no value has a majority",
        "rank": "1 for what breaks a collective most likely",
    },
    "fleet.launch": {
        "kind": "duplicate-rank, missing-rank, rank-range, option (differs), head (dist-init-addr is not of rank 0)",
        "what": "the rank, the size, the option or the address",
        "nodes": "the nodes, in short",
        "count": "number of these nodes",
        "value": "value of the option on these nodes",
        "majority": "its value on the others",
        "note": "one sentence",
        "server": "address at which the nodes of the server meet",
    },
    "fleet.clock": {"node": "node", "skew_s": "seconds by which its clock is ahead of the others"},
    "fleet.failures": {
        "node": "node, or file of its log, in the order of failing",
        "rank": "rank that failed first on it, or empty",
        "time": "time stamp as printed, or empty",
        "after_s": "seconds after the first failure, None if the times cannot be compared",
        "line": "line of the log",
        "first": "True for the node that failed first",
        "failure": "what failed",
    },
}
