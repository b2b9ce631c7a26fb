"""Which of the model files that SGLang could not import is the one that was asked for."""

from __future__ import annotations

import re

from sgldoctor.facts import Facts
from sgldoctor.lazy import lazy

_DIGITS = lazy(r"\d+")
_SUFFIX = lazy(r"(?:For[A-Z]\w{0,80}|LMHeadModel|Config(?:Alias)?|Model|TextModel)\Z")


def derive(facts: Facts) -> Facts:
    """``log.ignored_import``: the failed imports of a log, ``wanted`` where the launched model needs that file.

    SGLang warns of every model file that does not import and goes on; only the file of the launched model matters.
    Files are named after architectures: ``qwen3_next.py`` holds ``Qwen3NextForCausalLM``. A later generation may live
    in the file of an earlier one (``DeepseekV3ForCausalLM`` in ``deepseek_v2.py``), or import from it: where no file
    of exactly that name failed, one that differs in digits only is meant.
    """
    names = {_plain(_SUFFIX.sub("", str(row["name"]))) for row in facts.rows("log.architecture") if row.get("name")}
    names |= {_plain(str(name)) for name in facts.value("model", "architectures") or ()}
    files = [_plain(str(row.get("module", "")).rpartition(".")[2]) for row in facts.rows("log.failed_import")]
    if not names & set(files):
        families = {_DIGITS.sub("", name) for name in names}
        names = {file for file in files if _DIGITS.sub("", file) in families}
    rows = [{**row, "wanted": file in names} for row, file in zip(facts.rows("log.failed_import"), files, strict=True)]
    found = Facts()
    found.put("log.ignored_import", rows, "derived")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
