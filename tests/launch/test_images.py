"""The release that a container image or a requirement round the command names, and what only looks like one."""

from __future__ import annotations

import pytest

from sgldoctor.launch.command import parse

SERVER = "python3 -m sglang.launch_server --model-path m"


@pytest.mark.parametrize(
    ("before", "release"),
    [
        ("docker run --gpus all lmsysorg/sglang:v0.5.9-cu130", "0.5.9"),
        ("docker run -it --rm --ipc=host -v /data:/data lmsysorg/sglang:v0.5.10.post1", "0.5.10.post1"),
        ("docker run -v /x/sglang:0.5.8 lmsysorg/sglang:v0.5.9", "0.5.9"),
        ("docker run -v /x/sglang:0.5.8 lmsysorg/sglang:latest", ""),
        ("docker run --volume=/x/sglang:0.5.8 lmsysorg/sglang:latest", ""),
        ("docker run -v ./sglang:0.5.8 lmsysorg/sglang:dev", ""),
        ("docker run --name sglang:0.5.8 lmsysorg/sglang:dev", ""),
        ("docker run registry:5000/mirror/sglang:v0.5.12.post1", "0.5.12.post1"),
        ("podman run -d docker.io/lmsysorg/sglang:v0.5.20-cu130-runtime", "0.5.20"),
        ("kubectl run x --image=lmsysorg/sglang:v0.5.9 --", "0.5.9"),
        ("srun --container-image lmsysorg/sglang:v0.5.9", "0.5.9"),
        ("apptainer exec --nv docker://lmsysorg/sglang:v0.5.9", "0.5.9"),
        ("uv run --with sglang==0.5.8", "0.5.8"),
        ("IMAGE=lmsysorg/sglang:v0.5.11; docker run $IMAGE", "0.5.11"),
        ("docker run lmsysorg/sglang:0.5.99.1.2", ""),
        ("", ""),
    ],
)
def test_the_release_of_the_image(before: str, release: str) -> None:
    assert parse(f"{before} {SERVER}").release == release


def test_the_image_round_a_shell_counts_for_the_command_in_it() -> None:
    assert parse(f"docker run -it lmsysorg/sglang:v0.5.9 bash -c '{SERVER}'").release == "0.5.9"
