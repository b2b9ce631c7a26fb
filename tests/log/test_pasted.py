from __future__ import annotations

from typing import Any

import pytest

from sgldoctor.vocabulary import FACTS
from tests.log.texts import reading

CHECK_ENV = """\
Python: 3.10.12 (main, Nov 20 2023, 15:14:05) [GCC 11.4.0]
CUDA available: True
GPU 0,1: NVIDIA A10
GPU 0,1 Compute Capability: 8.6
CUDA_HOME: /usr/local/cuda
NVCC: Cuda compilation tools, release 11.8, V11.8.89
CUDA Driver Version: 550.127.08
PyTorch: 2.8.0+cu128
sglang: 0.5.2
sgl_kernel: 0.3.9.post2
flashinfer_python: 0.3.1
vllm: Module Not Found
zmq: 26.0.3
NVIDIA Topology:
\tGPU0\tCPU Affinity
ulimit soft: 20000
"""
COLLECT_ENV = """\
Collecting environment information...
PyTorch version: 2.3.0+cu121
CUDA used to build PyTorch: 12.1
OS: Ubuntu 22.04.3 LTS (x86_64)
Libc version: glibc-2.35
Python version: 3.10.12 (main, Nov 20 2023, 15:28:12) [GCC 11.4.0] (64-bit runtime)
CUDA runtime version: 12.3.52
GPU 0: NVIDIA A100-SXM4-80GB
Nvidia driver version: 510.73.08
cuDNN version: Probably one of the following:
/usr/lib/x86_64-linux-gnu/libcudnn.so.8.9.6
Model: 17
Stepping: 1
BogoMIPS: 5192.30
[pip3] numpy==1.26.4
[conda] torch 2.3.0 pypi_0 pypi
"""
SMI = """\
| NVIDIA-SMI 550.144.03             Driver Version: 550.144.03     CUDA Version: 12.4     |
|   0  NVIDIA H200                    On  |   00000000:03:00.0 Off |                    0 |
| N/A   33C    P0            115W /  700W |  124585MiB / 143771MiB |      0%      Default |
|   1  NVIDIA H200                    On  |   00000000:23:00.0 Off |                    0 |
"""


def rows(text: str, fact: str) -> tuple[dict[str, Any], ...]:
    return reading(text).facts.rows(fact)


def versions(text: str) -> dict[str, str]:
    return {row["name"]: row["version"] for row in rows(text, "packages")}


def test_check_env_gives_what_a_probe_would() -> None:
    facts = reading(CHECK_ENV).facts
    assert facts.one("python") == {"version": "3.10.12", "line": 1}
    torch = facts.one("torch")
    assert (torch["version"], torch["local"], torch["cuda"], torch["build"]) == ("2.8.0", "cu128", "12.8", "cuda")
    assert facts.value("sglang", "version") == "0.5.2"
    assert facts.value("driver", "version") == "550.127.08"
    toolkit = facts.one("toolkit")
    assert (toolkit["home"], toolkit["version"]) == ("/usr/local/cuda", "11.8")
    gpus = facts.rows("gpus")
    assert [(g["index"], g["name"], g["capability"]) for g in gpus] == [
        (0, "NVIDIA A10", "8.6"),
        (1, "NVIDIA A10", "8.6"),
    ]
    assert versions(CHECK_ENV) == {
        "torch": "2.8.0+cu128",
        "sglang": "0.5.2",
        "sgl-kernel": "0.3.9.post2",
        "flashinfer-python": "0.3.1",
        "pyzmq": "26.0.3",
    }


def test_collect_env_is_no_package_list() -> None:
    facts = reading(COLLECT_ENV).facts
    assert facts.value("torch", "cuda") == "12.1"
    assert facts.value("driver", "version") == "510.73.08"
    assert facts.value("host", "glibc") == "2.35"
    assert facts.value("toolkit", "version") == "12.3"
    assert versions(COLLECT_ENV) == {"torch": "2.3.0", "numpy": "1.26.4"}


def test_nvidia_smi_gives_driver_and_gpus() -> None:
    facts = reading(SMI).facts
    driver = facts.one("driver")
    assert (driver["version"], driver["cuda"]) == ("550.144.03", "12.4")
    first, second = facts.rows("gpus")
    assert (first["name"], first["memory_total_mib"], first["memory_free_mib"]) == ("NVIDIA H200", 143771, 19186)
    assert "memory_total_mib" not in second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Package      Version\n------------ -------\nsgl-kernel   0.3.21\nTorch_Audio  2.9.1\nzstd   1.2\n", {"sgl-kernel": "0.3.21", "torch-audio": "2.9.1", "zstd": "1.2"}),  # noqa: E501
        ("torch==2.4.0\nsgl-kernel==0.0.2.post11\n", {"torch": "2.4.0", "sgl-kernel": "0.0.2.post11"}),
        ("Installed 2 packages in 12ms\n - torch==2.8.0\n + torch==2.9.1\n", {"torch": "2.9.1"}),
        ("Successfully installed torch-2.9.1 nvidia-nccl-cu12-2.27.5\n", {"torch": "2.9.1", "nvidia-nccl-cu12": "2.27.5"}),  # noqa: E501
        ("Requirement already satisfied: torch==2.9.1 in ./x (from sglang) (2.9.1)\n", {"torch": "2.9.1"}),
        ("Name: sglang\nVersion: 0.5.2\nSummary: x\n", {"sglang": "0.5.2"}),
        ("[pip3] nvidia-nccl-cu12==2.29.3\n[pip3] nvidia-nccl-cu13==2.29.7\n", {"nvidia-nccl-cu12": "2.29.3", "nvidia-nccl-cu13": "2.29.7"}),  # noqa: E501
        ("    sglang[srt] 0.4.9 depends on torch==2.7.1; extra\n", {}),
        ("one line 2.0\nanother text here\n", {}),
        ("Successful requests:  1648\nMean TTFT (ms):  44294.80\nTotal tokens:  12\n", {}),
    ],
)  # fmt: skip
def test_package_lists(text: str, expected: dict[str, str]) -> None:
    assert versions(text) == expected


def test_a_launch_line_over_several_lines_with_variables() -> None:
    text = (
        "(venv) me@host:~/x$ CUDA_VISIBLE_DEVICES=0,1 HF_TOKEN=hf_abcdefghijklmnopqrst python3 -m sglang.launch_server \\\n"  # noqa: E501
        "  --model-path Qwen/Qwen3-8B \\\n"
        "  --api-key s3cret --tp 2\n"
        "[2025-06-04 16:47:33] started\n"
    )
    facts = reading(text).facts
    (launch,) = facts.rows("launch")
    assert launch["command"].endswith("--model-path Qwen/Qwen3-8B --api-key <redacted> --tp 2")
    values = {row["name"]: row["value"] for row in facts.rows("environment")}
    assert values == {"CUDA_VISIBLE_DEVICES": "0,1", "HF_TOKEN": "<redacted>"}


def test_variables_of_docker_and_of_the_shell() -> None:
    text = (
        'export NCCL_SOCKET_IFNAME="eth0" SGLANG_X=1\n'
        "docker run --gpus all -e NCCL_DEBUG=INFO --env HF_TOKEN=abc -p 30000:30000 lmsysorg/sglang:v0.5.2-cu126 "
        "python3 -m sglang.launch_server --model-path x\n"
    )
    facts = reading(text).facts
    values = {row["name"]: row["value"] for row in facts.rows("environment")}
    assert values == {"NCCL_SOCKET_IFNAME": "eth0", "SGLANG_X": "1", "NCCL_DEBUG": "INFO", "HF_TOKEN": "<redacted>"}
    assert facts.one("sglang")["version"] == "0.5.2"
    assert facts.one("sglang")["inferred"] != ""
    assert "abc" not in facts.one("launch")["command"]


@pytest.mark.parametrize(
    "text",
    [
        "[2026-01-13 23:33:10] It is recommended to run it with same args as `sglang.launch_server` for pre-compilation",  # noqa: E501
        '  File "/x/sglang/launch_server.py", line 29, in <module>\n',
        "usage: launch_server.py [-h] --model-path MODEL_PATH",
        "launch_server.py: error: unrecognized arguments: --x",
    ],
)
def test_what_only_names_the_server_is_no_launch_line(text: str) -> None:
    assert not reading(text).facts.known("launch")


@pytest.mark.parametrize(
    "sentence",
    [
        'Neither "python -m sglang.launch_server --model-path m --port 30000" nor "sgl.Runtime(model_path=m)" works.',
        "We start it with \u2018python -m sglang.launch_server --model-path m --port 30000\u2019 or from a notebook.",
    ],
)
def test_a_command_in_a_sentence_ends_with_its_quotation(sentence: str) -> None:
    (launch,) = reading(sentence + "\n").facts.rows("launch")
    assert launch["command"] == "python -m sglang.launch_server --model-path m --port 30000"


def test_a_server_args_dump_gives_options_without_secrets() -> None:
    text = (
        "[2025-02-24 19:26:02] server_args=ServerArgs(model_path='/model', context_length=None, api_key='s3cret', tp_size=16, "  # noqa: E501
        "chat_template='a, b=(c)', json='{}', dp=[1, 2], trust_remote_code=True, dist_init_addr='10.0.0.15:20000')\n"
    )
    options = {row["flag"]: row["value"] for row in rows(text, "launch.option")}
    assert options == {
        "--model-path": "/model",
        "--api-key": "<redacted>",
        "--tp-size": "16",
        "--chat-template": "a, b=(c)",
        "--json": "{}",
        "--dp": "[1, 2]",
        "--trust-remote-code": "True",
        "--dist-init-addr": "10.0.0.15:20000",
    }


def test_messages_tell_versions() -> None:
    facts = reading(
        "[2025-07-03 04:40:40 TP0] sglang is using nccl==2.26.2\n"
        "/site/torch/cuda/__init__.py:182: UserWarning: The NVIDIA driver on your system is too old (found version 12040).\n"  # noqa: E501
        '  File "/venv/lib/python3.12/site-packages/x.py", line 1, in f\n'
    ).facts
    assert [(row["name"], row["version"]) for row in facts.rows("log.versions")] == [("nccl", "2.26.2")]
    assert facts.value("driver", "cuda") == "12.4"
    assert facts.value("python", "version") == "3.12"


def test_a_version_read_is_better_than_one_guessed_from_a_path() -> None:
    text = '  File "/usr/lib/python3.8/x.py", line 1, in f\n' + CHECK_ENV
    assert rows(text, "python")[0]["version"] == "3.10.12"


def test_ignored_imports_are_listed_once() -> None:
    line = "[2025-08-30 23:23:41 TP{}] Ignore import error when loading sglang.srt.models.glm4v_moe: No module named 'x.y'\n"  # noqa: E501
    (row,) = rows(line.format(0) + line.format(1), "log.failed_import")
    assert (row["module"], row["error"], row["line"]) == ("sglang.srt.models.glm4v_moe", "No module named 'x.y'", 1)


def test_every_fact_and_column_is_in_the_vocabulary() -> None:
    text = CHECK_ENV + COLLECT_ENV + SMI + (
        "$ A_B=1 python -m sglang.launch_server --tp 2\n[2025-02-24 19:26:02] server_args=ServerArgs(tp_size=16)\n"
        "Ignore import error when loading sglang.srt.models.x: y\nNCCL version 2.28.9+cuda13.0\n"
    )  # fmt: skip
    facts = reading(text).facts
    assert {"launch", "launch.option", "log.versions", "environment", "log"} <= set(facts.names())
    for name in facts.names():
        assert facts.source(name) == "log"
        for row in facts.rows(name):
            assert set(row) - {"line", "text"} <= set(FACTS[name]), name


def test_values_that_a_shell_fills_in_are_not_known() -> None:
    text = (
        "export HF_TOKEN=hf_<valid_token>\nexport SGLANG_LOG_MS=$(cat ms)\nfor i in 0 1; do\n"
        "    CUDA_VISIBLE_DEVICES=$i python -m sglang.launch_server --model-path m --tp 1 &\ndone\n"
        "export NCCL_DEBUG='$5'\n"
    )
    assert {row["name"]: row["value"] for row in reading(text).facts.rows("environment")} == {"NCCL_DEBUG": "$5"}
