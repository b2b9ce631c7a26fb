"""``sgldoctor mcp``: the commands as tools of the Model Context Protocol, over standard input and output.

Each tool runs the command of the same name in a process of its own and returns its JSON, so that an agent gets what a
person gets, redacted alike, and a sick machine cannot take the server down. The official SDK (extra ``mcp``) is
imported by this module alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from sgldoctor.cli.options import Parser
from sgldoctor.errors import UsageError
from sgldoctor.typed import Any

# Neither "-m" nor "-c" may look for modules in the present folder, which is whatever the agent works on.
_CODE = (
    "import sys; sys.path[:1] = [sys.argv.pop(1), *filter(None, sys.path[:1])];"
    "from sgldoctor.__main__ import main; sys.exit(main())"
)
LIMIT = 600
"""Seconds that a tool may take."""
INSTRUCTIONS = """sgldoctor finds the true cause of a broken SGLang environment or crash log. Begin with `explain` for a
log and `check` for a machine; `launch` and `tp` judge a server's command line before it runs. A report's findings with
role "cause" are what to act on, best first; "symptom" is only their consequence. Status "unknown" means that the cause
was not found: do not guess one. Exit statuses and keys are described by the resource sgldoctor://schema."""
EPILOG = """examples:
  sgldoctor mcp                          read-only: check, explain, launch, tp, rules
  sgldoctor mcp --allow-fix              also repair and undo, which change an environment
  {"mcpServers": {"sgldoctor": {"command": "uvx", "args": ["--from", "sgldoctor[mcp]", "sgldoctor", "mcp"]}}}
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status when the client has gone."""
    made = Parser("sgldoctor mcp", "Serve the doctor to agents by the Model Context Protocol, on stdio.", EPILOG)
    made.add_argument("--allow-fix", action="store_true", help="also offer the tools that change an environment")
    args = made.parse_args(arguments)
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise UsageError(
            f"the extra 'mcp' is not installed ({error}): pip install 'sgldoctor[mcp]', or run "
            "uvx --from 'sgldoctor[mcp]' sgldoctor mcp"
        ) from error
    from sgldoctor import __version__

    server = MCPServer("sgldoctor", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    looks = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    reading: tuple[Callable[..., object], ...] = (check, explain, launch, tp, rules)
    changing: tuple[Callable[..., object], ...] = (repair, undo)
    for tool in reading:
        server.tool(annotations=looks)(tool)
    if args.allow_fix:
        changes = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=True)
        for tool in changing:
            server.tool(annotations=changes)(tool)
    server.resource("sgldoctor://rules", mime_type="application/json", description="all rules, one line each")(_rules)
    server.resource("sgldoctor://rules/{name}", mime_type="text/plain", description="a rule, explained")(_rule)
    server.resource("sgldoctor://schema", mime_type="application/json", description="the schema of a report")(_schema)
    server.run("stdio")
    return 0


def check(
    python: str = "", venv: str = "", launch: str = "", model: str = "", area: str = "", facts: bool = False
) -> dict[str, object]:
    """Examine this machine and a Python environment with SGLang, without importing or starting anything.

    Args:
        python: interpreter of the environment; by default the active one.
        venv: or a virtual environment's folder.
        launch: a launch line of SGLang to judge as well.
        model: a model folder or hub id to judge as well.
        area: only rules of this area, such as libraries, versions, driver, gpu, host.
        facts: also return everything that was seen (large).
    """
    given = _given(python=python, venv=venv, launch=launch, model=model, area=area)
    return _report(["check", "--format=json", *given], facts)


def explain(
    log: str = "", files: list[str] | None = None, sglang: str = "", here: bool = False, facts: bool = False
) -> dict[str, object]:
    """Find the root cause in a log of SGLang or of an installation: give its text, or the names of files here.

    Args:
        log: the text of the log.
        files: files on this machine instead; several for several nodes or ranks.
        sglang: the release that wrote it, if the log does not say so.
        here: also take into account what a probe of this machine sees.
        facts: also return everything that was read from the log (large).
    """
    _one_of("a log or files", bool(log), bool(files))
    names = [_name(name) for name in files or ["-"]]
    words = ["explain", "--format=json", *_given(sglang=sglang), *(["--here"] if here else []), *names]
    return _report(words, facts, log)


def launch(
    command: str = "",
    file: str = "",
    sglang: str = "",
    model: str = "",
    gpus: int = 0,
    gpu_memory: float = 0,
    compute_capability: str = "",
    facts: bool = False,
) -> dict[str, object]:
    """Judge a launch line of SGLang before it runs: flags, variables, sizes, memory, backends. Nothing is started.

    Args:
        command: the launch line, with its variables: "A=1 python -m sglang.launch_server --model-path M --tp 8".
        file: or a script, Dockerfile, compose file, Kubernetes manifest or systemd unit here that holds it.
        sglang: the release to judge by; by default the one installed.
        model: the model, if the line does not name one that is here.
        gpus: GPUs of a node; by default those of this machine.
        gpu_memory: memory of each, in GiB.
        compute_capability: of each: 9.0 is H100.
        facts: also return all derived facts (large).
    """
    _one_of("a command or a file", bool(command), bool(file))
    given = _given(
        sglang=sglang, model=model, gpus=gpus or "", gpu_memory=gpu_memory or "",
        compute_capability=compute_capability, file=file,
    )  # fmt: skip
    return _report(["launch", "--format=json", *given, *(["--", command] if command else [])], facts)


def tp(
    model: str, sglang: str = "", gpus: int = 0, ep: int = 0, dp: int = 0, enable_dp_attention: bool = False
) -> dict[str, object]:
    """Which tensor-parallel sizes a model allows, and which constraint forbids the others.

    Args:
        model: a model folder, or a hub id whose config.json is in the local cache.
        sglang: the release to judge by; by default the one installed.
        gpus: how many GPUs there are at most.
        ep: expert-parallel size.
        dp: data-parallel size.
        enable_dp_attention: whether attention is data-parallel.
    """
    given = _given(sglang=sglang, gpus=gpus or "", ep=ep or "", dp=dp or "")
    words = ["tp", "--format=json", *given, *(["--enable-dp-attention"] if enable_dp_attention else []), _name(model)]
    found = _json(words)
    return found if isinstance(found, dict) else {"sizes": found}


def rules(name: str = "", area: str = "", cause: str = "") -> dict[str, object]:
    """The rules that the doctor knows: all, those of an area or a cause, or one in full.

    Args:
        name: the rule to show in full.
        area: only this area.
        cause: only rules of this cause.
    """
    words = ["show", _name(name)] if name else ["list"]
    return {"rules": _json(["rules", *words, "--format=json", *_given(area=area, cause=cause)])}


def repair(
    python: str = "", venv: str = "", log: str = "", dry_run: bool = True, unsafe: bool = False
) -> dict[str, object]:
    """Repair an environment: plan, apply, examine again, go back if that does not prove it. Only plans by default.

    Args:
        python: interpreter of the environment; by default the active one.
        venv: or a virtual environment's folder.
        log: a log whose root cause is to be repaired as well.
        dry_run: show the plan and change nothing; apply only what a person has agreed to.
        unsafe: also what moves torch or deletes files.
    """
    how = ["--dry-run"] if dry_run else ["--yes"]
    words = ["--format=json", "--fix", *how, *(["--unsafe"] if unsafe else []), *_given(python=python, venv=venv)]
    return _report(["explain", *words, "-"] if log else ["check", *words], False, log)


def undo(python: str = "", venv: str = "") -> dict[str, object]:
    """Take back the last repair of an environment.

    Args:
        python: its interpreter; by default the active one.
        venv: or its folder.
    """
    found = _json(["undo", "--format=json", *_given(python=python, venv=venv)])
    return found if isinstance(found, dict) else {"undone": found}


def _rules() -> str:
    return _text(["rules", "list", "--format=json"])


def _rule(name: str) -> str:
    from mcp.server.mcpserver.exceptions import ResourceError, ToolError

    try:
        return _text(["rules", "show", _name(name)])
    except ToolError as error:  # of a tool; that of a resource is an answer, anything else a trace on the terminal
        raise ResourceError(str(error)) from error


def _schema() -> str:
    from sgldoctor.report.schema import text

    return text()


def _given(**options: object) -> list[str]:
    """The options that were given, each in one word, so that no value can be taken for an option."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value not in ("", None)]


def _name(name: str) -> str:
    """A positional argument that is no option, whatever it begins with."""
    return f"./{name}" if name.startswith("-") and name != "-" else name


def _one_of(what: str, *given: bool) -> None:
    if sum(given) != 1:
        raise _failure(f"give {what}, and only one of the two")


def _failure(message: str) -> Exception:
    from mcp.server.mcpserver.exceptions import ToolError

    return ToolError(message)  # type: ignore[no-any-return,unused-ignore]


def _report(words: list[str], facts: bool, stdin: str = "") -> dict[str, object]:
    """A report, without its facts unless they were asked for."""
    found = _json(words, stdin)
    if not isinstance(found, dict):
        raise _failure(f"no report: {type(found).__name__}")
    return {name: value for name, value in found.items() if facts or name not in ("facts", "seconds")}


def _json(words: list[str], stdin: str = "") -> Any:
    import json

    status, out, said = _run(words, stdin)
    try:
        return json.loads(out)
    except ValueError:
        raise _failure(said.strip() or f"the command ended with status {status} and no report") from None


def _text(words: list[str]) -> str:
    status, out, said = _run(words)
    if status:
        raise _failure(said.strip())
    return out


def _run(words: list[str], stdin: str = "") -> tuple[int, str, str]:
    """Status, output and complaints of a command, run from where this one is: a package or an unpacked archive."""
    import os
    import subprocess

    import sgldoctor

    home = os.path.dirname(os.path.dirname(os.path.abspath(sgldoctor.__file__)))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CODE, home, *words],
            input=stdin.encode("utf-8", "surrogatepass"), capture_output=True, timeout=LIMIT, check=False,
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        raise _failure(f"the command did not end well: {error}") from error
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
