"""``sgldoctor tp``: which tensor-parallel sizes a model allows, and what forbids the others.

With ``--format json`` one object is written::

    {"schema": "sgldoctor.tp/1", "tool": {"name": ..., "version": ...}, "command": "tp",
     "sglang": {"version": "0.5.8", "judged": "0.5.8", "note": ""},   release asked for, the one that judged, and why
     "model": {...},                                                  columns of the fact "model"
     "asked": {"gpus": 64, "ep": 1, "dp": 1, "dp_attention": false},
     "works": [1, 2, 4],
     "sizes": [{"tp": 3, "gpus": 3, "works": false, "limits": [
        {"dimension": "attention heads", "size": 32, "by": 3, "kind": "plain", "block": 0, "note": "..."}]}],
     "unknown": [{"what": "...", "because": "..."}]}
"""

from __future__ import annotations

import os
import sys

from sgldoctor.cli import common
from sgldoctor.cli.quantities import positive
from sgldoctor.errors import InputError, UsageError
from sgldoctor.report import human
from sgldoctor.report.text import wrap
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.derive.parallel import Size
    from sgldoctor.derive.sizes import Sharing
    from sgldoctor.facts import Facts, Row
    from sgldoctor.knowledge.flags import Judges

LARGEST = 64
"""GPUs that a model is spread over at most, where --gpus does not say."""

EPILOG = """examples:
  sgldoctor tp /models/m --gpus 8
  sgldoctor tp org/name --gpus 16 --ep 16 --dp 16 --enable-dp-attention --sglang 0.5.8
  sgldoctor tp --config config.json --format json

The model is a folder, or the id of one in the local hub cache. Tried are the powers of two and the divisors of the
GPUs and of the attention heads. Exit status: 0 some size works, 1 none does, 2 the config cannot be read or used.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("tp", "Which tensor-parallel sizes a model allows, by its config.json.", EPILOG, common.PLAIN)
    made.add_argument("model", nargs="?", default="", metavar="MODEL", help="a model folder or hub id")
    made.add_argument("--config", metavar="FILE", help="a config.json instead")
    made.add_argument("--gpus", metavar="N", type=positive, default=LARGEST, help="GPUs at most (default: %(default)s)")
    made.add_argument("--ep", metavar="N", type=positive, default=1, help="expert-parallel size (default: %(default)s)")
    made.add_argument("--dp", metavar="N", type=positive, default=1, help="data-parallel size (default: %(default)s)")
    made.add_argument("--enable-dp-attention", action="store_true", help="--dp divides the attention, not the GPUs")
    made.add_argument("--sglang", metavar="V", default="", help="the release to judge by (default: the newest known)")
    args = made.parse_args(arguments)
    if bool(args.model) == bool(args.config):
        raise UsageError("give a model, or --config FILE" + (", not both" if args.model else ""))
    from sgldoctor.derive.sizes import Sharing, table
    from sgldoctor.knowledge import flags

    asked = common.release(args.sglang)
    judged = flags.judges(asked or flags.releases()[-1])
    facts = _config(args.config) if args.config else _model(args.model)
    sharing = Sharing(args.ep, args.dp, args.enable_dp_attention)
    found = table(facts.one("model"), judged.release, args.gpus, sharing)
    if args.format == "json":
        sys.stdout.write(_json(facts, asked, judged, args.gpus, sharing, found))
    else:
        lines = layout(facts, judged, args.gpus, sharing, found, common.width(args), quiet=args.quiet)
        if common.in_colour(args.color):
            human.paint_lines(lines, sys.stdout, common.width(args))
        else:
            common.write(human.plain(lines))
    sys.stdout.flush()
    return 0 if any(not size.limits for size in found) else 1


def _model(name: str) -> Facts:
    from sgldoctor.preflight import nowhere
    from sgldoctor.probe.model import model

    return _usable(model(nowhere(os.environ), name), name)


def _config(path: str) -> Facts:
    from sgldoctor.facts import Facts
    from sgldoctor.probe.model import dimensions, load

    config, because = load(path)
    if config is None:
        raise InputError(because)
    row, odd = dimensions(config)
    facts = Facts()
    facts.put("model", {**row, "path": path}, "probe")
    for what, why in odd:
        facts.put_unknown(f"model {what}", why)
    return _usable(facts, path)


def _usable(facts: Facts, name: str) -> Facts:
    """The facts, where they say enough to judge by; raises InputError where a table would be a guess."""
    if not facts.known("model"):
        because = "; ".join(entry.because for entry in facts.unknown) or f"{name}: no config.json was found"
        raise InputError(f"{because}; name the model's folder, or its config.json with --config")
    if not facts.one("model").get("heads"):
        because = "".join(f" ({entry.what}: {entry.because})" for entry in facts.unknown)
        raise InputError(f"{name}: its config.json states no number of attention heads{because}")
    return facts


def layout(
    facts: Facts, judged: Judges, gpus: int, sharing: Sharing, sizes: list[Size], width: int, *, quiet: bool = False
) -> list[human.Line]:
    """The answer for people: the sizes that work in the first line, then one line for each size that was tried."""
    works = [str(size.tp) for size in sizes if not size.limits]
    options = [f"--ep {sharing.ep}"] * (sharing.ep > 1) + [f"--dp {sharing.dp}"] * (sharing.dp > 1)
    options += ["--enable-dp-attention"] * sharing.dp_attention
    asked: human.Span = ("dim", f" on up to {gpus} GPUs" + (f" with {' '.join(options)}" if options else ""))
    if works:
        lines: list[human.Line] = [[("good", "WORKS     "), ("title", f"--tp {', '.join(works)}"), asked]]
    else:
        lines = [[("bad", "NONE      "), ("title", "no tensor-parallel size works"), asked]]
    if quiet:
        return lines
    examined = f"{_described(facts.one('model'))}; SGLang {judged.release}"
    lines += [*human.paragraph("examined", human.safe(examined), width), [], *_rows(sizes, sharing, width)]
    notes = [f"{entry.what}: {entry.because}" for entry in facts.unknown] + ([judged.note] if judged.note else [])
    rest = [line for note in notes for line in human.paragraph("unknown", human.safe(note), width)]
    return [*lines, [], *rest] if rest else lines


def _rows(sizes: list[Size], sharing: Sharing, width: int) -> list[human.Line]:
    """One line or more for each size: ``works``, or what forbids it."""
    replicas = sharing.gpus(1) > 1
    labels = [f"tp {size.tp}" + (f" ({sharing.gpus(size.tp)} GPUs)" if replicas else "") for size in sizes]
    margin = max(human.MARGIN, *(len(label) + 2 for label in labels)) if labels else human.MARGIN
    lines: list[human.Line] = []
    for label, size in zip(labels, sizes, strict=True):
        said = "; ".join(limit.note for limit in size.limits)
        for index, text in enumerate(wrap(said or "works", max(width - margin, 30))):
            lines.append([("label", f"{'' if index else label:<{margin}}"), ("text" if said else "good", text)])
    return lines


def _described(model: Row) -> str:
    """The model in words: its name and the dimensions that decide."""
    names = {
        "heads": "attention heads", "kv_heads": "KV heads", "hidden": "hidden", "intermediate": "intermediate",
        "experts": "experts", "expert_intermediate": "expert intermediate",
    }  # fmt: skip
    said = [f"{model[name]} {words}" for name, words in names.items() if model.get(name)]
    quantized = [str(model["quantization"])] if model.get("quantization") else []
    quantized += [f"blocks of {'x'.join(map(str, model['block']))}"] if model.get("block") else []
    quantized += [f"groups of {model['group']}"] if model.get("group") else []
    kind = ", ".join(model.get("architectures") or []) or str(model.get("model_type") or "")
    return f"{model['path']} ({', '.join([kind] * bool(kind) + said + quantized)})"


def _json(facts: Facts, asked: str, judged: Judges, gpus: int, sharing: Sharing, sizes: list[Size]) -> str:
    import json

    from sgldoctor import __version__
    from sgldoctor.report.as_json import cleaned

    rows: list[dict[str, Any]] = [
        {
            "tp": size.tp,
            "gpus": sharing.gpus(size.tp),
            "works": not size.limits,
            "limits": [limit._asdict() for limit in size.limits],
        }
        for size in sizes
    ]
    answer = {
        "schema": "sgldoctor.tp/1",
        "tool": {"name": "sgldoctor", "version": __version__},
        "command": "tp",
        "sglang": {"version": asked or judged.release, "judged": judged.release, "note": judged.note},
        "model": facts.one("model"),
        "asked": {"gpus": gpus, **sharing._asdict()},
        "works": [size.tp for size in sizes if not size.limits],
        "sizes": rows,
        "unknown": [{"what": entry.what, "because": entry.because} for entry in facts.unknown],
    }
    return json.dumps(cleaned(answer), indent=1) + "\n"
