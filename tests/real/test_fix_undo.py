"""The way back, also after a kill at any point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgldoctor.__main__ import main
from sgldoctor.errors import FixError
from sgldoctor.fix import journal
from sgldoctor.fix.verify import violated
from sgldoctor.folders import state_folder
from tests.real.envs import CUDNN, KERNEL, UV, WHOLE, Env
from tests.terminal import talk

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]

ROOT = Path(__file__).resolve().parents[2]
REPAIR = [sys.executable, "-m", "tests.real.envs"]
BREAKS = {
    "no cudnn": lambda env: env.uv("uninstall", "nvidia-cudnn-cu12"),
    "no nccl": lambda env: env.uv("uninstall", "nvidia-nccl-cu12"),
    "no numpy": lambda env: env.uv("uninstall", "numpy"),
    "cudnn gone": lambda env: env.file(CUDNN).unlink(missing_ok=True),
    "old kernel": lambda env: env.install("--no-deps", "sgl-kernel==0.3.19"),
    "both kernels": lambda env: env.install("--no-deps", "sglang-kernel==0.4.1"),
    "flashinfer": lambda env: env.install("--no-deps", "flashinfer-python==0.5.3"),
    "cuda 13": lambda env: env.install("--no-deps", "nvidia-cudnn-cu13==9.19.0.56"),
    "torch": lambda env: env.install("--no-deps", "torch==2.11.0"),
}


def undo(env: Env, *options: str) -> subprocess.CompletedProcess[str]:
    """``sgldoctor undo`` as a user types it."""
    command = [sys.executable, "-m", "sgldoctor", "undo", "--venv", str(env.prefix), "--installer", "uv",
               "--find-links", str(env.wheels), "--no-index", *options]  # fmt: skip
    return subprocess.run(command, env=env.environ, cwd=ROOT, capture_output=True, text=True, check=False)


def last(env: Env) -> journal.Entry:
    return journal.read(state_folder(env.environ))[-1]


def test_undo_restores_the_former_set_and_leaves_the_rest(uv_env: Env) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12", "triton")
    env.install("--no-deps", "sglang-kernel==0.4.1")
    before = env.versions()
    assert env.repair("--yes", "--installer", "uv") == 0
    env.uv("uninstall", "flashinfer-cubin")  # by the user, afterwards: none of the repair's business
    done = undo(env)
    assert (done.returncode, done.stderr) == (0, "")
    del before["flashinfer-cubin"]
    assert env.versions() == before
    assert last(env).end == "undone"
    again = undo(env)
    assert again.returncode == 2
    assert "nothing to undo" in again.stderr


def test_undo_by_id_list_and_dry_run(uv_env: Env) -> None:
    env = uv_env
    env.uv("uninstall", "numpy")
    assert env.repair("--yes", "--installer", "uv") == 0
    whole = env.versions()
    name = last(env).id
    listed = undo(env, "--list").stdout
    assert name in listed
    assert "verified" in listed
    dry = undo(env, name, "--dry-run").stdout
    assert "uninstall numpy" in dry
    told = json.loads(undo(env, name, "--dry-run", "--format", "json").stdout)
    assert (told["id"], told["done"]) == (name, ["uninstall numpy"])
    assert env.versions() == whole
    assert undo(env, name).returncode == 0
    assert "numpy" not in env.versions()
    assert "is taken back already" in undo(env, name).stderr
    assert "no repair 'nonsense'" in undo(env, "nonsense").stderr


def killer(folder: Path, call: int, moment: str) -> Path:
    """A uv that kills the doctor before or after its n-th call that changes something; the call itself is real."""
    folder.mkdir(exist_ok=True)
    script = folder / "uv"
    count = folder / "count"
    script.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" --dry-run "*|*" cache "*|*" --target "*) exec {UV} "$@";; esac\n'
        f"echo x >> {count}; n=$(wc -l < {count})\n"
        f'if [ "$n" = {call} ] && [ {moment} = before ]; then kill -9 $PPID; exit 1; fi\n'
        f'{UV} "$@"; status=$?\n'
        f'if [ "$n" = {call} ] && [ {moment} = after ]; then kill -9 $PPID; fi\n'
        "exit $status\n"
    )
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize(("call", "moment"), [(1, "before"), (1, "after"), (2, "before"), (2, "after")])
def test_killed_between_steps(uv_env: Env, tmp_path: Path, call: int, moment: str) -> None:
    env = uv_env
    env.install("--no-deps", "sglang-kernel==0.4.1")
    before = env.versions()
    path = f"{killer(tmp_path / 'bin', call, moment)}:{env.environ['PATH']}"
    command = [sys.executable, "-m", "tests.real.envs", str(env.prefix), "--yes", "--installer", "uv",
               "--find-links", str(env.wheels), "--no-index"]  # fmt: skip
    done = subprocess.run(
        command, env={**env.environ, "PATH": path}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert last(env).end == ""
    _wait_for_lock(env)
    assert "UNFINISHED" in undo(env, "--list").stdout
    taken = undo(env)
    assert (taken.returncode, taken.stderr) == (0, "")
    assert env.versions() == before
    assert env.file(KERNEL).exists()


def interrupted(env: Env, folder: Path) -> str:
    """A repair killed after its first step; its id."""
    env.install("--no-deps", "sglang-kernel==0.4.1")
    path = f"{killer(folder, 1, 'after')}:{env.environ['PATH']}"
    command = [*REPAIR, str(env.prefix), "--yes", "--find-links", str(env.wheels), "--no-index"]
    subprocess.run(command, env={**env.environ, "PATH": path}, cwd=ROOT, capture_output=True, check=False)
    _wait_for_lock(env)
    assert last(env).end == ""
    return last(env).id


FINISH = (b"[f/t/N]", b"f\n"), (b"Apply? [y/N]", b"y\n")


@pytest.mark.parametrize(
    ("answers", "end", "status"),
    [(FINISH, "kept", 0), (((b"[f/t/N]", b"t\n"),), "undone", 1), (((b"[f/t/N]", b"\n"),), "", 1)],
)
def test_person_at_a_terminal_is_asked_what_becomes_of_it(
    uv_env: Env, tmp_path: Path, answers: tuple[tuple[bytes, bytes], ...], end: str, status: int
) -> None:
    name = interrupted(uv_env, tmp_path / "bin")
    command = [*REPAIR, str(uv_env.prefix), "--find-links", str(uv_env.wheels), "--no-index"]
    environ = {**uv_env.environ, "PATH": f"{Path(UV).parent}:{uv_env.environ['PATH']}"}
    shown, ended = talk(command, answers, ROOT, environ)
    entry = next(entry for entry in journal.read(state_folder(uv_env.environ)) if entry.id == name)
    assert (entry.end, ended) == (end, status), shown
    assert ("sglang-kernel" in uv_env.versions()) is (end == "undone")


def test_undo_asks_at_a_terminal(uv_env: Env) -> None:
    uv_env.uv("uninstall", "numpy")
    assert uv_env.repair("--yes", "--installer", "uv") == 0
    command = [sys.executable, "-m", "sgldoctor", "undo", "--venv", str(uv_env.prefix), "--installer", "uv"]
    shown, status = talk(command, [(b"Take it back? [y/N]", b"n\n")], ROOT, uv_env.environ)
    assert (status, b"uninstall numpy" in shown, b"nothing was changed" in shown) == (1, True, True)
    assert last(uv_env).end == "verified"
    shown, status = talk([*command, "--yes"], [], ROOT, uv_env.environ)
    assert (status, last(uv_env).end) == (0, "undone"), shown


def test_next_repair_names_and_finishes_what_was_interrupted(
    uv_env: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = uv_env
    name = interrupted(env, tmp_path / "bin")
    for key, value in env.environ.items():
        monkeypatch.setenv(key, value)
    main(["check", "--venv", str(env.prefix)])
    assert f"sgldoctor undo {name}" in capsys.readouterr().err  # an examination names it, too
    env.repair("--yes")
    assert f"was interrupted ({name}" in capsys.readouterr().out
    ended = {entry.id: entry.end for entry in journal.read(state_folder(env.environ))}
    assert ended[name] == "kept"  # finished by the other one
    assert "verified" in ended.values()
    env.install(*WHOLE)
    assert env.report().exit_status == 0


def _wait_for_lock(env: Env) -> None:
    """The installer inherits the lock: it is free once the installer has ended, too."""
    from sgldoctor.fix.preflight import lock

    for _ in range(100):
        try:
            os.close(lock(state_folder(env.environ), str(env.prefix)))
            return
        except FixError:
            time.sleep(0.05)
    raise AssertionError("the lock is never freed")


def test_half_removed_distribution_is_brought_back(uv_env: Env) -> None:
    """As after a kill in the middle of a step: files gone, RECORD gone, a folder that pip had set aside."""
    env = uv_env
    env.install("--no-deps", "sgl-kernel==0.3.19")
    before = env.versions()
    assert env.repair("--yes", "--installer", "uv") == 0
    log = Path(state_folder(env.environ)) / journal.NAME
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2]))  # what the journal held when the step had just begun
    (info,) = env.site.glob("sgl_kernel-*.dist-info")
    (info / "RECORD").unlink()
    env.file(KERNEL).unlink()
    env.file("~gl_kernel").mkdir()
    done = undo(env)
    assert (done.returncode, done.stderr) == (0, "")
    assert env.versions() == before
    assert b"0.3.19" in env.file(KERNEL).read_bytes()
    assert not env.file("~gl_kernel").exists()


def test_line_of_the_journal_that_was_cut_short_harms_nothing(uv_env: Env) -> None:
    env = uv_env
    env.uv("uninstall", "numpy")
    assert env.repair("--yes", "--installer", "uv") == 0
    log = Path(state_folder(env.environ)) / journal.NAME
    with log.open("a") as stream:
        stream.write('{"id": "x", "eve')
    assert undo(env).returncode == 0
    assert last(env).end == "undone"


def test_environment_that_was_made_anew_is_left_alone(uv_env: Env) -> None:
    env = uv_env
    env.uv("uninstall", "numpy")
    assert env.repair("--yes", "--installer", "uv") == 0
    os.utime(env.prefix / "pyvenv.cfg")
    done = undo(env)
    assert done.returncode == 2
    assert "was made anew" in done.stderr
    assert "numpy" in env.versions()


def test_second_doctor_is_refused(uv_env: Env) -> None:
    from sgldoctor.fix.preflight import lock

    env = uv_env
    env.uv("uninstall", "numpy")
    held = lock(state_folder(env.environ), str(env.prefix))
    try:
        with pytest.raises(FixError, match="another doctor"):
            env.repair("--yes", "--installer", "uv")
    finally:
        os.close(held)
    assert "numpy" not in env.versions()


def test_variables_are_set_printed_and_taken_back(
    uv_env: Env, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = uv_env
    name = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
    assert env.repair("--yes", **{name: "4096"}) == 0
    for key, value in env.environ.items():
        monkeypatch.setenv(key, value)
    capsys.readouterr()
    assert main(["env", "--held", "--venv", str(env.prefix), "--shell", "bash"]) == 0
    assert capsys.readouterr().out == f"unset {name}\n"
    done = undo(env)
    assert (done.returncode, done.stderr) == (0, "")
    assert main(["env", "--held", "--venv", str(env.prefix)]) == 0
    assert capsys.readouterr().out == ""


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(faults=st.lists(st.sampled_from(sorted(BREAKS)), min_size=1, max_size=4, unique=True))
def test_any_set_of_faults(uv_env: Env, faults: list[str]) -> None:
    """A repair never leaves more requirements violated than it found, and undo restores exactly the former set."""
    env = uv_env
    for fault in faults:
        BREAKS[fault](env)
    before, violations = env.versions(), violated(env.report().facts)
    done = len(journal.read(state_folder(env.environ)))
    env.repair("--yes", "--unsafe", "--installer", "uv")
    assert violated(env.report().facts) <= violations
    assert env.report().exit_status == 0, faults
    if len(journal.read(state_folder(env.environ))) > done:
        taken = undo(env)
        assert (taken.returncode, taken.stderr) == (0, "")
        assert env.versions() == before, faults
    env.install("--reinstall", *WHOLE)
    env.uv("uninstall", "sglang-kernel", "nvidia-cudnn-cu13")
    env.install("--reinstall", *WHOLE)


OTHER = {
    "flashinfer-cubin": ["0.5.3"], "flashinfer-python": ["0.5.3"], "numpy": [], "nvidia-cudnn-cu12": ["9.16.0.29"],
    "nvidia-cudnn-cu13": ["9.19.0.56"], "nvidia-cusparselt-cu12": [], "nvidia-nccl-cu12": [], "sgl-kernel": ["0.3.19"],
    "sglang-kernel": ["0.4.1"], "torch": ["2.11.0"], "triton": ["3.6.0"],
}  # fmt: skip
"""Versions other than the right ones; of a name that does not belong there, any is wrong."""
EXTRA = ("nvidia-cudnn-cu13", "sglang-kernel")
STATES = {
    name: st.sampled_from(["right", "right", *versions, *([] if name in EXTRA else ["absent"])])
    for name, versions in OTHER.items()
}
DAMAGE = st.sets(st.sampled_from([CUDNN, KERNEL, "nvidia/nccl/lib/libnccl.so.2"]), max_size=1)


@settings(
    max_examples=60 if os.environ.get("SGLDOCTOR_THOROUGH") else 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(state=st.fixed_dictionaries(STATES), damaged=DAMAGE, unsafe=st.booleans())
def test_random_sets_never_get_worse(uv_env: Env, state: dict[str, str], damaged: set[str], unsafe: bool) -> None:
    """Any mixture of absent, moved and damaged packages: violated pins never grow, undo restores exactly."""
    env = uv_env
    absent = [name for name, version in state.items() if version == "absent"]
    moved = [f"{name}=={version}" for name, version in state.items() if version not in ("right", "absent")]
    if absent:
        env.uv("uninstall", *absent)
    if moved:
        env.install("--no-deps", *moved)
    for path in damaged:
        if env.file(path).exists():
            env.file(path).write_bytes(env.file(path).read_bytes()[:20])
    before, violations = env.versions(), violated(env.report().facts)
    done = len(journal.read(state_folder(env.environ)))
    try:
        status = env.repair("--yes", "--installer", "uv", *(["--unsafe"] if unsafe else []))
    except FixError:
        status = 1
    after = env.report()
    assert violated(after.facts) <= violations, state
    assert (status == 0) == (after.exit_status == 0), state
    entries = journal.read(state_folder(env.environ))
    if len(entries) > done and entries[-1].end in ("verified", "kept"):
        taken = undo(env)
        assert (taken.returncode, taken.stderr) == (0, ""), state
    assert env.versions() == before, state
    env.install("--reinstall", *WHOLE)
    env.uv("uninstall", "sglang-kernel", "nvidia-cudnn-cu13")
    env.install("--reinstall", *WHOLE)
