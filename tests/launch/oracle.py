# mypy: ignore-errors
"""Ask SGLang itself about launch lines: its argparse, then its own resolution and checks of the arguments.

    PYTHON_WITH_SGLANG oracle.py MAJOR.MINOR < lines.jsonl > verdicts.jsonl

Each input line is a JSON list of arguments. Each output line is ``[stage, text]``: ``argparse`` with its error,
``checks`` with the exception of SGLang's argument checks, ``other`` with one of something else (a file that is not
there, a package), or ``valid``. No GPU is needed: what asks a device is replaced, as in
``tests/derive/sizes/oracle.py``.
"""

import contextlib
import io
import json
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path


def main(capability):
    major, minor = map(int, capability.split("."))
    import importlib.util

    path = Path(__file__).resolve().parents[1] / "derive" / "sizes" / "oracle.py"
    spec = importlib.util.spec_from_file_location("sizes_oracle", path)
    sizes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizes)
    sizes.pretend_a_gpu()
    import types

    import torch

    properties = types.SimpleNamespace(
        total_memory=80 << 30, name="GPU", major=major, minor=minor, multi_processor_count=132
    )
    torch.cuda.get_device_capability = lambda *a, **k: (major, minor)
    torch.cuda.get_device_properties = lambda *a, **k: properties
    warnings.simplefilter("ignore")
    out = sys.stdout
    sys.stdout = sys.stderr
    from sglang.srt import server_args
    from sglang.srt.utils import common

    for module in (server_args, common):
        if hasattr(module, "get_device_memory_capacity"):
            module.get_device_memory_capacity = lambda *a, **k: 80 * 1024
    logging.disable(logging.CRITICAL)
    kept = dict(os.environ)
    for line in sys.stdin:
        verdict = judge(json.loads(line), server_args)
        out.write(json.dumps(verdict) + "\n")
        out.flush()
        os.environ.clear()
        os.environ.update(kept)


def judge(arguments, server_args):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        import argparse

        parser = argparse.ArgumentParser()
        server_args.ServerArgs.add_cli_args(parser)
        try:
            raw = parser.parse_args(arguments)
        except SystemExit as error:
            return ["argparse" if error.code else "help", errors.getvalue().strip().rpartition("error: ")[2][-300:]]
        except Exception as error:  # noqa: BLE001 - DeprecatedAction raises what it likes
            return ["argparse", f"{type(error).__name__}: {error}"[:300]]
        try:
            args = server_args.ServerArgs.from_cli_args(raw)
            if hasattr(args, "resolve_once"):
                args.resolve_once()
            args.check_server_args()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the verdict
            frames = traceback.extract_tb(error.__traceback__)
            place = frames[-1]
            ours = "/srt/server_args.py" in place.filename or "/srt/arg_groups/" in place.filename
            text = f"{type(error).__name__}: {error}"[:400]
            return ["checks" if ours else "other", text, f"{place.filename[-60:]}:{place.lineno} {place.line}"]
    return ["valid", ""]


if __name__ == "__main__":
    main(*sys.argv[1:])
