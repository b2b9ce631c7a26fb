from __future__ import annotations

import pytest

from sgldoctor.events import KINDS
from tests.log.texts import events, said


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        # deaths
        ("Killed", "exit"),
        ("run.sh: line 8: 3831515 Killed                  python3 -m sglang", "exit"),
        ("./entrypoint.sh: line 48: 28 Killed python3 -m sglang.launch_server", "exit"),
        ("Bus error (core dumped)", "exit"),
        ("Segmentation fault", "exit"),
        ("[exit status 135]", "exit"),
        ("[12-16 14:27:10] Exit code: -9", "exit"),
        ("E1123 23:50:42.678 1061 torch/api.py:986] failed (exitcode: 1) local_rank: 1", "exit"),
        ("[26002.10] oom-kill:constraint=CONSTRAINT_NONE", "exit"),
        ("[26002.109061] Out of memory: Killed process 576419 (python)", "exit"),
        ("command terminated with exit code 137", "exit"),
        ("      Reason:       OOMKilled", "exit"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=1.0", "exit"),
        ("sglang.service: Main process exited, code=killed, status=9/KILL", "exit"),
        ("      Exit Code:    137", "exit"),
        ("free(): invalid pointer", "exit"),
        ("*** SIGSEGV received at time=1700000000 on cpu 3 ***", "exit"),
        ("      Exit Code:    0", "line"),
        ("[exit status 0]", "line"),
        ("process finished, exit code 0", "line"),
        # native programs
        ("host:1:2 [0] net.cc:579 NCCL WARN Error: network gIB not found.", "nccl"),
        ("host:1:2 [0] NCCL INFO Connected all trees", "line"),
        ("E0917 16:23:13.204995 4058290 worker_pool.cpp:294] failed", "glog"),
        ("E20260203 17:42:09.442772 3720676 rdma_context.cpp:205] Failed to register memory", "glog"),
        ("W0917 16:23:13.427592 4058290 worker_pool.cpp:308] Too many errors", "glog"),
        ("I0917 16:23:13.427592 4058290 worker_pool.cpp:308] fine", "line"),
        ("[W1123 23:47:42.054312846 socket.cpp:207] [c10d] The hostname", "glog"),
        ("TCPStore.cpp:358] [c10d] TCP client failed to connect", "glog"),
        ("/x/ibrc.cpp:418: non-zero status: 22 ibv_modify_qp failed", "error"),
        ("/x/team.cu:nvshmem_team_split_strided:63: NVSHMEM API called before", "error"),
        ("[1746690477.97] [n:611 :0]     ucp_context.c:1268 UCX  WARN  transports", "warning"),
        ("[1746690477.97] [n:611 :0]     ucp_context.c:1268 UCX  ERROR no", "error"),
        # compilers, in any language
        ("/tmp/main.c:4:10: fatal error: Python.h: No such file or directory", "compiler"),
        ("/x/utils.cuh:21:10: 致命错误：cuda_fp8.h: 没有那个文件或目录", "compiler"),  # noqa: RUF001
        ("/x/utils.cuh:21:10: error fatal: cuda_fp8.h: No existe el fichero o el directorio", "compiler"),
        ("/x/a.cpp:3:1: warning: unused variable", "warning"),
        ("x.cu(12): error: identifier is undefined", "compiler"),
        ("      CMake Error at CMakeLists.txt:10 (find_package):", "compiler"),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_90a'", "compiler"),
        ("ptxas fatal   : Value 'sm_103a' is not defined for option 'gpu-name'", "compiler"),
        ("/usr/bin/ld: cannot find -lcuda: No such file or directory", "compiler"),
        ("ninja: build stopped: subcommand failed.", "compiler"),
        ("FAILED: [code=1] cuda.cuda.o ", "compiler"),
        # installers and usage
        ("ERROR: Could not find a version that satisfies the requirement x", "installer"),
        ("ERROR: pip's dependency resolver does not currently take into account", "warning"),
        ("sglang 0.5.8 requires torch==2.9.1, but you have torch 2.11.0 which is incompatible.", "installer"),
        ("  × No solution found when resolving dependencies:", "installer"),  # noqa: RUF001
        ("error: externally-managed-environment", "installer"),
        ("launch_server.py: error: unrecognized arguments: --enable-reasoning", "usage"),
        ("sglang serve: error: argument --tp: expected one argument", "usage"),
        # loggers
        ("2025-07-12 08:05:15 | ERROR | sglang.srt | Received sigquit", "error"),
        ("ERROR 05-08 00:47:57 [core.py:396] EngineCore failed to start.", "error"),
        ("2024-06-02 15:41:38,149 WARNING worker.py:1419 -- SIGTERM handler", "warning"),
        ("[2025-06-04 16:47:33 TP0] Ignore import error when loading sglang.srt.models.x: y", "warning"),
        ("/x/environ.py:368: UserWarning: Environment variable SGL_X is deprecated", "warning"),
        ("[2025-06-04 16:47:33 TP0] Decode batch. #running-req: 2", "line"),
        ('[2025-06-04 16:47:33] INFO:     1.2.3.4:5 - "GET /x HTTP/1.1" 400 Bad Request', "line"),
        # others
        ("Error: No module named 'outlines.fsm.regex'.", "error"),
        ("CUDA error: an illegal memory access was encountered", "error"),
        ("bash: nvcc: command not found", "error"),
        ("/bin/sh: 1: ninja: not found", "error"),
        ("< HTTP/1.1 400 Bad Request", "error"),
        ('{"object":"error","message":"The input is longer","code":400}', "error"),
        ("403 Client Error. (Request ID: Root=1)", "error"),
        ("  Warning  Failed   57s   kubelet  Error: failed to create containerd task", "error"),
        ("NVRM: Xid (PCI:0000:db:00): 79, GPU has fallen off the bus.", "error"),
        ("Failed to import x: ImportError: libcuda.so.1: cannot open", "exception"),
        ("[2025-06-04 16:47:33 TP0] could not import x: ImportError: libcuda.so.1", "error"),
        ("Warning: no x: ImportError: libcuda.so.1", "warning"),
        ("  RuntimeError: 319", "error"),
        ("[E ProcessGroupNCCL.cpp:474] [Rank 1] Watchdog caught collective operation timeout", "glog"),
        ('loc("/x/decode_attention.py":310:16): error: operation scheduled before its operands', "warning"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)", "compiler"),
        ("  × python setup.py egg_info did not run successfully.", "installer"),  # noqa: RUF001
        ("schools_web_1 exited with code 137", "exit"),
        ("Failed to initialize NVML: Driver/library version mismatch", "error"),
        ("x: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /x/ops.so)", "error"),
        ("!!!!!!! Segfault encountered !!!!!!!", "exit"),
        ("  note: This error originates from a subprocess", "installer"),
        ("  ERROR: Failed building wheel for sgl-kernel", "installer"),
        ("CUDA out of memory. Tried to allocate 2 GiB", "error"),
        ("[Errno 13] Permission denied: '/x'", "error"),
        ('docker: Error response from daemon: could not select device driver ""', "error"),
        ("PyTorch version: 2.9.1+cpu", "line"),
        ("Failed requests: 0", "line"),
    ],
)
def test_the_kind_of_a_line(line: str, kind: str) -> None:
    assert [event.kind for event in events(line)] == [kind]
    assert kind in KINDS


def test_usage_text_is_dropped_and_its_error_kept() -> None:
    text = (
        "usage: launch_server.py [-h] --model-path MODEL_PATH\n        [--tokenizer-path X]\n\noptions:\n  -h  help\n"
    )
    assert said(text + "launch_server.py: error: unrecognized arguments: --x\n") == [
        ("usage", "launch_server.py: error: unrecognized arguments: --x")
    ]


def test_pips_conflict_is_one_event() -> None:
    text = (
        "ERROR: Cannot install sglang because these package versions have conflicting dependencies.\n\n"
        "The conflict is caused by:\n    sglang 0.5 depends on torch==2.7.1\n    flashinfer 0.2 depends on torch==2.8.*\n\n"  # noqa: E501
        "To fix this you could try to:\n1. loosen the range\n"
    )
    first = events(text)[0]
    assert (first.kind, first.end) == ("installer", 5)
    assert "flashinfer 0.2 depends on torch==2.8.*" in first.text


def test_uvs_explanation_is_one_event() -> None:
    text = (
        "  × No solution found when resolving dependencies:\n"  # noqa: RUF001
        "  ╰─▶ Because sglang==0.5.6 depends on flashinfer-python==0.5.3 and\n"
        "      vllm==0.11.0 depends on flashinfer-python==0.4.0, we can conclude that\n"
        "      sglang==0.5.6 and vllm==0.11.0 are incompatible.\n"
    )
    (event,) = events(text)
    assert event.text.endswith(
        "==0.5.3 and vllm==0.11.0 depends on flashinfer-python==0.4.0, we can conclude that "
        "sglang==0.5.6 and vllm==0.11.0 are incompatible."
    )


def test_the_source_line_below_a_warning_is_dropped() -> None:
    text = "/x/y.py:215: UserWarning: Triton is not supported\n  warnings.warn(\nnext\n"
    assert [event.kind for event in events(text)] == ["warning", "line"]


def test_order_counts_all_events_and_lines_do_not_fall() -> None:
    found = events("[rank1]: a\n[rank0]: b\nc\nValueError: x\n[rank1]: d\n")
    assert [event.order for event in found] == list(range(5))
    assert [event.line for event in found] == sorted(event.line for event in found)


def test_what_pips_child_says_is_read_apart_from_what_pip_says() -> None:
    text = (
        "  × Building wheel for sgl-kernel (pyproject.toml) did not run successfully.\n  │ exit code: 1\n"  # noqa: RUF001
        "  ╰─> [33 lines of output]\n      Traceback (most recent call last):\n"
        '        File "/tmp/setup.py", line 3, in <module>\n          import torch\n'
        "      ModuleNotFoundError: No module named 'torch'\n      [end of output]\n"
    )
    assert ("exception", "ModuleNotFoundError: No module named 'torch'") in said(text)
