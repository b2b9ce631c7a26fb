"""``sgldoctor mcp``, asked by the client of the official SDK over standard input and output."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_errors import ROOT, doctor, one_line

LOG = (ROOT / "fixtures" / "missing-libcudnn" / "fires-import.log").read_text(encoding="utf-8")
READING = {"check", "explain", "launch", "tp", "rules"}


def talk(*options: str, ask: Callable[[Any], Awaitable[Any]], folder: Path = ROOT) -> Any:
    """What ``ask`` returns, given a connected client."""
    mcp = pytest.importorskip("mcp", reason="the extra 'mcp' (28 distributions) is not installed")
    from mcp.client.stdio import StdioServerParameters

    async def connected() -> Any:
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "sgldoctor", "mcp", *options], cwd=str(folder)
        )
        async with mcp.Client(server) as client:
            return await ask(client)

    return asyncio.run(connected())


def test_tools_and_resources_do_what_the_commands_do() -> None:
    async def ask(client: Any) -> list[Any]:
        tools = (await client.list_tools()).tools
        templates = (await client.list_resource_templates()).resource_templates
        return [
            tools,
            templates,
            await client.call_tool("explain", {"log": LOG}),
            await client.call_tool("explain", {"log": LOG, "files": ["x"]}),
            await client.call_tool("explain", {"files": ["--fix"]}),
            await client.call_tool("launch", {"command": "sglang serve --no-such", "sglang": "0.5.8"}),
            await client.call_tool("rules", {"name": "missing-libcudnn"}),
            await client.read_resource("sgldoctor://rules/missing-libcudnn"),
            await client.read_resource("sgldoctor://rules"),
        ]

    tools, templates, explained, both, option, launched, rule, page, listed = talk(ask=ask)
    assert {tool.name for tool in tools} == READING
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert [str(template.uri_template) for template in templates] == ["sgldoctor://rules/{name}"]
    report = explained.structured_content
    assert report["schema"] == "sgldoctor.report/1"
    assert report["findings"][0]["rule"] == "missing-libcudnn"
    assert "facts" not in report
    assert both.is_error
    assert "only one" in both.content[0].text
    assert option.is_error  # a file of that name, not an option
    assert "./--fix" in option.content[0].text
    assert launched.structured_content["status"] == "problems"
    assert rule.structured_content["rules"][0]["slug"] == "missing-libcudnn"
    assert "cuDNN" in page.contents[0].text
    assert len(json.loads(listed.contents[0].text)) > 100


def test_what_changes_an_environment_is_offered_only_when_allowed() -> None:
    async def ask(client: Any) -> Any:
        return (await client.list_tools()).tools

    tools = talk("--allow-fix", ask=ask)
    assert {tool.name for tool in tools} == READING | {"repair", "undo"}
    assert [tool.annotations.read_only_hint for tool in tools if tool.name in ("repair", "undo")] == [False, False]


def test_every_tool_says_what_is_wrong_with_its_arguments() -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("check", {"venv": "/nonexistent"}, "no such folder"),
        ("check", {"area": "nowhere"}, "there is none of this name"),
        ("check", {"python": 5}, "valid string"),
        ("explain", {}, "give a log or files"),
        ("explain", {"files": ["/nonexistent"]}, "No such file"),
        ("explain", {"log": LOG, "sglang": "x y"}, "a release such as"),
        ("launch", {}, "give a command or a file"),
        ("launch", {"command": "ls -la"}, "no SGLang server command"),
        ("launch", {"file": "/nonexistent"}, "No such file"),
        ("tp", {}, "Field required"),
        ("tp", {"model": "/nonexistent"}, "does not exist"),
        ("tp", {"model": "--help"}, "./--help"),
        ("rules", {"name": "no-such-rule"}, "no-such-rule"),
        ("repair", {"venv": "/nonexistent"}, "no such folder"),
        ("undo", {"venv": "/nonexistent"}, "no such folder"),
    ]

    async def ask(client: Any) -> list[Any]:
        return [await client.call_tool(tool, given) for tool, given, _ in wrong]

    for (tool, given, words), answer in zip(wrong, talk("--allow-fix", ask=ask), strict=True):
        assert answer.is_error, (tool, given)
        assert words in answer.content[0].text, (tool, given, answer.content[0].text)
        assert "Traceback (most" not in answer.content[0].text


def test_a_resource_that_is_not_there_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    async def ask(client: Any) -> list[str]:
        said = []
        for name in ("rules/no-such-rule", "nothing"):
            with pytest.raises(Exception, match=r"no-such-rule|nothing") as caught:
                await client.read_resource(f"sgldoctor://{name}")
            said.append(str(caught.value))
        return said

    assert "no rule" in talk(ask=ask)[0]
    assert "Traceback" not in capfd.readouterr().err


def test_the_folder_of_the_agent_is_no_place_for_modules(tmp_path: Path) -> None:
    """An agent works in folders of strangers; what lies there is not run."""
    (tmp_path / "sgldoctor").mkdir()
    for name in ("sgldoctor/__init__.py", "sgldoctor/__main__.py", "json.py", "subprocess.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close(); raise SystemExit('stranger')\n")

    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import sgldoctor.cli.mcp as m; print(m._run(['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("(0, 'sgldoctor "), done.stdout
    assert not (tmp_path / "ran").exists()


def test_without_the_extra_one_line_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['mcp'] = None; from sgldoctor.__main__ import main; sys.exit(main(['mcp']))"
    done = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert "pip install 'sgldoctor[mcp]'" in one_line(done)


def test_help() -> None:
    assert b"--allow-fix" in doctor("mcp", "--help").stdout
