"""``sgldoctor launch``: what is said of real lines and files, for which release, and with which exit status."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.knowledge.flags import releases
from tests.cli.test_errors import doctor, one_line

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = json.loads((ROOT / "tests" / "derive" / "sizes" / "configs.json").read_text(encoding="utf-8"))
NEWEST = releases()[-1]
SERVER = ["python3", "-m", "sglang.launch_server", "--model-path", "org/model"]
EIGHT = ["--gpus", "8", "--compute-capability", "10.0"]

# A prefill server of a large mixture-of-experts model, as published for 0.5.8.
PREFILL = """\
NCCL_MNNVL_ENABLE=1 \\
NCCL_CUMEM_ENABLE=1 \\
SGLANG_USE_MESSAGE_QUEUE_BROADCASTER=0 \\
SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK=1 \\
python3 -m sglang.launch_server \\
    --model-path deepseek-ai/DeepSeek-V3 \\
    --download-dir /lssd/huggingface/hub \\
    --trust-remote-code \\
    --disaggregation-mode prefill \\
    --dist-init-addr <MASTER_IP>:5757 \\
    --nnodes 1 \\
    --node-rank 0 \\
    --tp-size 8 \\
    --dp-size 8 \\
    --enable-dp-attention \\
    --host 0.0.0.0 \\
    --context-length 2176 \\
    --disable-radix-cache \\
    --moe-dense-tp-size 1 \\
    --enable-dp-lm-head \\
    --disable-shared-experts-fusion \\
    --ep-num-redundant-experts 32 \\
    --eplb-algorithm deepseek \\
    --deepep-config /path/to/deepep_config.json \\
    --attention-backend cutlass_mla \\
    --watchdog-timeout 1000000 \\
    --init-expert-location /path/to/prefill_in4096.json \\
    --disable-cuda-graph \\
    --chunked-prefill-size 16384 \\
    --max-total-tokens 32768 \\
    --moe-a2a-backend deepep \\
    --deepep-mode normal \\
    --ep-dispatch-algorithm dynamic
"""


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty hub cache and none of the variables of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("SGL", "CUDA_VISIBLE", "HF_", "HUGGINGFACE", "VIRTUAL_ENV", "CONDA", "NCCL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub-home"))


@pytest.fixture
def launch(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> dict[str, Any]:
        status = main(["launch", "--format", "json", *arguments])
        said = capsys.readouterr()
        if status == 2:
            return {"exit": 2, "error": said.err}
        report: dict[str, Any] = json.loads(said.out)
        return {"exit": status, **report}

    return run


def rules(report: dict[str, Any], role: str = "cause") -> set[str]:
    return {finding["rule"] for finding in report["findings"] if finding["role"] == role}


def found(report: dict[str, Any], rule: str) -> dict[str, Any]:
    (finding,) = [finding for finding in report["findings"] if finding["rule"] == rule]
    return dict(finding)


def unknown(report: dict[str, Any]) -> dict[str, str]:
    return {entry["what"]: entry["because"] for entry in report["unknown"]}


def model_folder(path: Path, name: str) -> str:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(CONFIGS[name]), encoding="utf-8")
    return str(path)


def environment(path: Path, sglang: str, *others: str) -> str:
    site = path / "lib" / "python3.11" / "site-packages"
    for name in [f"sglang-{sglang}", *others]:
        folder = site / f"{name}.dist-info"
        folder.mkdir(parents=True)
        distribution, _, version = name.partition("-")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.11.7\n")
    return str(path)


# ------------------------------------------------------------------------------- one line, several releases


def test_the_published_prefill_line_in_its_own_release(launch: Any) -> None:
    report = launch("--sglang", "0.5.8", *EIGHT, "--", PREFILL)
    assert (report["exit"], report["status"]) == (0, "healthy")
    assert rules(report) == {"memory-balance-variable"}
    (evidence,) = found(report, "memory-balance-variable")["evidence"]
    assert evidence["source"] == "launch"
    assert "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK" in evidence["text"]
    assert main(["launch", "--sglang", "0.5.8", "--strict", *EIGHT, "--", PREFILL]) == 1


@pytest.mark.parametrize("version", ["0.5.20", NEWEST])
def test_the_published_prefill_line_in_later_releases(launch: Any, version: str) -> None:
    report = launch("--sglang", version, *EIGHT, "--", PREFILL)
    assert report["exit"] == 1
    choice = found(report, "launch-flag-value")
    assert (choice["role"], choice["subject"]) == ("cause", "--attention-backend")
    assert "since 0.5.20; it takes " in choice["evidence"][0]["text"]
    # 0.5.18 to 0.5.20 read that variable, inverted; later releases ignore it again.
    assert ("memory-balance-variable" in rules(report)) is (version == NEWEST)


def test_a_deprecated_flag_is_a_notice_and_no_problem(launch: Any) -> None:
    line = [*SERVER, "--tp", "8", "--dp", "8", "--enable-dp-attention"]
    assert rules(launch("--sglang", "0.5.8", *EIGHT, "--", *line), "notice") == set()
    report = launch("--sglang", NEWEST, *EIGHT, "--", *line)
    assert (report["exit"], rules(report, "notice")) == (0, {"launch-flag-deprecated"})


@pytest.mark.parametrize(
    ("options", "version", "rule"),
    [
        (["--tpsize", "8"], "0.5.8", "launch-flag-unknown"),
        (["--enable-ep-moe"], "0.5.8", "launch-flag-removed"),
        (["--cuda-graph-max-bs", "8"], "0.5.20", "launch-flag-removed"),
        (["--tp", "eight"], "0.5.8", "launch-flag-value"),
        (["--pp", "2"], "0.5.8", "launch-flag-ambiguous"),
        (["--tp", "8", "--nnodes", "2"], "0.5.8", "parallel-sizes-contradict"),
        (["--tp", "16"], "0.5.8", "more-gpus-than-visible"),
    ],
)
def test_faults_of_a_line(launch: Any, options: list[str], version: str, rule: str) -> None:
    report = launch("--sglang", version, *EIGHT, "--", *SERVER, *options)
    assert (report["exit"], rules(report)) == (1, {rule})
    assert all(entry["source"] == "launch" for entry in found(report, rule)["evidence"])


def test_a_sound_line_says_what_was_judged_and_what_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "--sglang", "0.5.8", *EIGHT, "--gpu-memory", "80", "--", *SERVER, "--tp", "8"]) == 0
    first, rest = capsys.readouterr().out.split("\n", 1)
    assert first.split() == "HEALTHY no problem found in the launch line".split()
    rest = " ".join(rest.split())
    assert "sglang 0.5.8 (given with --sglang), 8 GPUs (compute capability 10.0, 80 GiB)" in rest
    assert "org/model is not in the local hub cache" in rest
    assert "packages: not judged: the release was given, and no environment was named" in rest


# ----------------------------------------------------------------------------------- what is given or found


def test_the_model_decides_about_the_size(launch: Any, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", "qwen2.5-7b")
    line = ["--", "python3", "-m", "sglang.launch_server", "--model-path", folder, "--tp", "8"]
    report = launch("--sglang", "0.5.8", *EIGHT, *line)
    assert rules(report) == {"tp-not-divisible"}
    assert "28 attention heads cannot be split over 8 GPUs; sizes that work: 1, 2, 4" in json.dumps(report)
    other = model_folder(tmp_path / "other", "qwen2.5-72b")
    assert launch("--sglang", "0.5.8", *EIGHT, "--model", other, *line)["exit"] == 0


def test_the_model_of_the_hub_cache(launch: Any, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub-home" / "hub" / "models--org--model" / "snapshots" / ("0" * 40)
    model_folder(snapshot, "qwen2.5-7b")
    assert rules(launch("--sglang", "0.5.8", *EIGHT, "--", *SERVER, "--tp", "8")) == {"tp-not-divisible"}
    moved = tmp_path / "elsewhere"
    shutil.move(snapshot.parents[1], moved / "models--org--model")
    line = [*SERVER, "--tp", "8"]
    assert rules(launch("--sglang", "0.5.8", *EIGHT, "--", *line)) == set()
    assert rules(launch("--sglang", "0.5.8", *EIGHT, "--", *line, "--download-dir", str(moved))) == {"tp-not-divisible"}


def test_a_model_that_was_named_and_cannot_be_read_leaves_doubt(launch: Any) -> None:
    report = launch("--sglang", "0.5.8", *EIGHT, "--model", "/nonexistent/model", "--", *SERVER)
    assert (report["exit"], unknown(report)["model"]) == (3, "/nonexistent/model does not exist")


def test_a_gpu_of_which_only_the_kind_is_given(launch: Any) -> None:
    line = ["--", *SERVER, "--tp", "8", "--attention-backend", "trtllm_mla"]
    report = launch("--sglang", "0.5.8", "--compute-capability", "9.0", *line)
    assert "more-gpus-than-visible" not in rules(report)
    assert any("compute capability" in entry["text"] for f in report["findings"] for entry in f["evidence"])
    assert rules(launch("--sglang", "0.5.8", "--compute-capability", "10.0", *line)) == set()


def test_variables_that_hide_gpus(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    line = [*SERVER, "--tp", "4"]
    assert launch("--sglang", "0.5.8", *EIGHT, "--", *line)["exit"] == 0
    report = launch("--sglang", "0.5.8", *EIGHT, "--", "CUDA_VISIBLE_DEVICES=0,1", *line)
    assert rules(report) == {"more-gpus-than-visible"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # of this machine, which is not the one with eight GPUs
    assert launch("--sglang", "0.5.8", *EIGHT, "--", *line)["exit"] == 0


def test_words_arrive_as_the_shell_gave_them(launch: Any) -> None:
    override = '{"a": "$HOME #1"}'
    report = launch("--sglang", "0.5.8", *EIGHT, "--", *SERVER, "--json-model-override-args", override)
    assert report["exit"] == 0
    (row,) = [row for row in report["facts"]["launch.argument"]["rows"] if "HOME" in row["text"]]
    assert (row["text"], row["known"]) == (override, True)


def test_secrets_of_the_line_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["--", "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz0123", *SERVER, "--api-key", "hunter2hunter2", "--tpp", "1"]
    for form in ("human", "json"):
        main(["launch", "--format", form, "--sglang", "0.5.8", "-v", *line])
        said = capsys.readouterr()
        assert "hunter2" not in said.out + said.err
        assert "hf_abc" not in said.out + said.err


# ------------------------------------------------------------------------------------ environments, releases


NIXL = [*SERVER, "--disaggregation-mode", "prefill", "--disaggregation-transfer-backend", "nixl"]


def test_packages_count_in_an_environment_that_is_named(launch: Any, tmp_path: Path) -> None:
    without = environment(tmp_path / "without", "0.5.8")
    report = launch("--venv", without, *EIGHT, "--", *NIXL)
    assert report["facts"]["sglang"]["version"] == "0.5.8"
    # Of that environment nothing else is said, although it lacks nearly everything.
    assert {finding["cause"] for finding in report["findings"]} == {"nixl-missing"}
    assert report["exit"] == 1
    assert launch("--venv", without, "--sglang", "0.5.8", *EIGHT, "--", *NIXL)["exit"] == 1
    assert launch("--sglang", "0.5.8", *EIGHT, "--", *NIXL)["exit"] == 0
    environment(tmp_path / "with", "0.5.8", "nixl-0.9.0")
    (tmp_path / "with" / "lib" / "python3.11" / "site-packages" / "nixl").mkdir()
    assert launch("--venv", str(tmp_path / "with"), *EIGHT, "--", *NIXL)["exit"] == 0


def test_the_active_environment_gives_the_release(launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", environment(tmp_path / "venv", "0.5.20"))
    monkeypatch.setenv("SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1")
    line = [*EIGHT, "--", *SERVER, "--cuda-graph-max-bs", "8"]
    report = launch(*line)
    assert (report["facts"]["sglang"]["version"], rules(report)) == ("0.5.20", {"launch-flag-removed"})
    # The shell's variables are the server's, unless the line is judged for somewhere else.
    assert "environment-variable-misadvised" in rules(report, "notice")
    assert rules(launch("--sglang", "0.5.20", *line), "notice") == set()


def test_without_any_release_the_verdict_is_open(launch: Any, tmp_path: Path) -> None:
    empty = environment(tmp_path / "venv", "0.5.8")
    shutil.rmtree(tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "sglang-0.5.8.dist-info")
    report = launch("--venv", empty, *EIGHT, "--", *SERVER, "--cuda-graph-max-bs", "8")
    assert (report["exit"], report["status"]) == (3, "unknown")
    assert "--sglang" in unknown(report)["sglang"]
    assert rules(launch("--venv", empty, *EIGHT, "--", *SERVER, "--tpsize", "8")) == {"launch-flag-unknown"}


def test_a_release_newer_than_all_that_are_known(launch: Any) -> None:
    report = launch("--sglang", "v99.1", *EIGHT, "--", *SERVER, "--a-flag-of-tomorrow")
    assert (report["exit"], rules(report)) == (0, set())
    assert f"judged by {NEWEST}" in unknown(report)["flags"]
    assert unknown(report)["new options"].startswith(f"--a-flag-of-tomorrow: SGLang {NEWEST}")
    assert "new options" not in unknown(launch("--sglang", "v99.1", *EIGHT, "--", *SERVER))


def test_a_server_of_diffusion_models_is_not_judged(launch: Any) -> None:
    report = launch("--sglang", "0.5.8", *EIGHT, "--", "sglang", "serve", "org/m", "--dit-layerwise-offload", "true")
    assert (report["exit"], report["findings"]) == (3, [])


# ------------------------------------------------------------------------------------------------- files


def test_a_script_names_the_line_of_each_fault(launch: Any, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(
        "#!/bin/bash\nexport MODEL=org/model\n"
        "python3 -m sglang.launch_server --model-path $MODEL \\\n  --tp 8 \\\n  --enable-ep-moe &\n"
        "docker run --gpus all image bash -c '\n  python3 -m sglang.launch_server \\\n"
        "    --model-path org/b --port x \\\n    --enable-ep-moe'\n"
        "sglang serve org/c --tp 2\n"
    )
    report = launch("--sglang", "0.5.8", *EIGHT, "--file", str(script))
    assert report["exit"] == 1
    assert [(row["line"], row["entry"]) for row in report["facts"]["launch"]["rows"]] == [
        (3, "launch_server"), (8, "launch_server"), (10, "serve"),
    ]  # fmt: skip
    places = {
        finding["rule"]: [(entry["file"], entry["line"]) for entry in finding["evidence"]]
        for finding in report["findings"]
    }
    path = str(script)
    assert places == {"launch-flag-removed": [(path, 5), (path, 9)], "launch-flag-value": [(path, 8)]}
    assert found(report, "launch-flag-removed")["count"] == 2


def test_a_comment_after_a_continuation(launch: Any, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(" ".join(SERVER) + " \\\n  --tp 8 \\  # all of them\n  --port 30000\n")
    report = launch("--sglang", "0.5.8", *EIGHT, "--file", str(script))
    assert rules(report) == {"launch-line-broken"}
    assert [entry["line"] for entry in found(report, "launch-line-broken")["evidence"]] == [2]


def test_manifests_have_variables_of_their_own(launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", environment(tmp_path / "venv", "0.5.8"))
    monkeypatch.setenv("SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK", "1")
    compose = tmp_path / "compose.yaml"
    compose.write_text(
        "services:\n  a:\n    image: x\n    command: [python3, -m, sglang.launch_server, --model-path, org/a]\n"
        "    environment:\n      SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK: '1'\n"
        "  b:\n    image: x\n    command: sglang serve org/b --tp 9\n"
    )
    report = launch(*EIGHT, "--file", str(compose))
    assert rules(report) == {"memory-balance-variable", "more-gpus-than-visible"}
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text('FROM x\nCMD ["sglang", "serve", "org/b"]\n')
    assert launch(*EIGHT, "--file", str(dockerfile))["findings"] == []


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a launch line after '--', or --file"),
        (["--file", "x", "--", "sglang", "serve", "m"], "not both"),
        (["python", "-m", "sglang.launch_server"], "the launch line comes after '--'"),
        (["--gpuz", "8", "--", "sglang", "serve", "m"], "unrecognized arguments: --gpuz 8"),
        (["--", "vllm", "serve", "m"], "no SGLang server command"),
        (["--sglang", "latest", "--", "sglang", "serve", "m"], "--sglang 'latest'"),
        (["--gpus", "0", "--", "sglang", "serve", "m"], "--gpus"),
        (["--gpu-memory", "-1", "--", "sglang", "serve", "m"], "--gpu-memory"),
        (["--compute-capability", "sm90", "--", "sglang", "serve", "m"], "--compute-capability"),
        (["--file", "/nonexistent/run.sh"], "/nonexistent/run.sh"),
        (["--venv", "/nonexistent", "--", "sglang", "serve", "m"], "/nonexistent"),
    ],
)
def test_what_is_wrong_with_the_call_is_said(launch: Any, arguments: list[str], words: str) -> None:
    report = launch(*arguments)
    assert report["exit"] == 2
    assert words in report["error"]


def test_exit_zero_and_ignored_rules(launch: Any) -> None:
    line = ["--sglang", "0.5.8", *EIGHT, "--", *SERVER, "--tpsize", "8"]
    assert launch("--exit-zero", *line)["exit"] == 0
    report = launch("--ignore", "launch-flag-unknown=a fork has it@2999-01-01", *line)
    assert (report["exit"], report["ignored"][0]["times"]) == (0, 1)


# -------------------------------------------------------------------------------------------- start-up

HEAVY = "rich pydantic importlib.metadata packaging asyncio urllib.request dataclasses pathlib tempfile logging yaml"


def test_a_healthy_line_loads_nothing_heavy_and_starts_fast(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", "qwen2.5-72b")
    arguments = ["launch", "--sglang", "0.5.8", *EIGHT, "--model", folder, "--", *SERVER, "--tp", "8"]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sgldoctor.__main__ import main; "
        f"status = main({arguments!r}); "
        f"print('loaded', *[name for name in {HEAVY.split()!r} + ['sgldoctor.log'] if name in sys.modules])"
    )

    def seconds(program: str) -> float:
        begin = time.process_time(), os.times()
        subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True)
        end = os.times()
        return end.children_user + end.children_system - begin[1].children_user - begin[1].children_system

    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded"]
    # CPU seconds, the best of three: the wall clock of a busy machine says nothing.
    assert min(seconds(code) for _ in range(3)) - min(seconds("pass") for _ in range(3)) < 0.25


def test_a_value_that_argparse_refuses_is_told_once(launch: Any) -> None:
    report = launch("--sglang", "0.5.8", *EIGHT, "--", *SERVER, "--disaggregation-mode", "prefil")
    assert [one["rule"] for one in report["findings"]] == ["launch-flag-value"]


def test_a_manifest_comes_from_standard_input() -> None:
    command = "[sglang, serve, --model-path, m, --tpp, '2']"
    text = f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - command: {command}\n"
    done = doctor("launch", "--sglang", "0.5.8", "--file", "-", stdin=text.encode())
    assert done.returncode == 1
    assert b"does not know --tpp" in done.stdout
    assert "standard input holds no SGLang server command" in one_line(doctor("launch", "--file", "-", stdin=b"x"))
    assert "standard input is only judged" in one_line(doctor("launch", "--fix", "--file", "-"))
