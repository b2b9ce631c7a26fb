from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.derive import driver, rdma
from sgldoctor.derive.environment import derive, warned
from sgldoctor.derive.settings import nccl_match
from sgldoctor.facts import Facts
from sgldoctor.vocabulary import FACTS


def facts(variables: dict[str, str], release: str = "", **tables: list[dict[str, Any]]) -> Facts:
    made = Facts()
    made.put("environment", [{"name": name, "value": value} for name, value in variables.items()], "probe")
    if release:
        made.put("sglang", {"version": release}, "probe")
    for name, rows in tables.items():
        made.put(name.replace("__", "."), rows, "probe")
    return made


def rows(
    name: str, variables: dict[str, str], release: str = "", **tables: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    found = derive(facts(variables, release, **tables))
    for table in found.names():
        for row in found.rows(table):
            assert set(row) <= {*FACTS[table], "line", "text"}, table
    return list(found.rows(name))


MEMORY = "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK"


# ------------------------------------------------------------------ renamed
def test_renamed_rows_from_the_environment() -> None:
    (row,) = rows("environment.renamed", {"SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK": "1", "NCCL_DEBUG": "INFO"}, "0.5.8")
    assert (row["successor"], row["successor_value"], row["works"]) == (MEMORY, "0", False)


def test_what_the_copy_overwrites_is_said() -> None:
    both = {"SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK": "1", MEMORY: "0"}
    (row,) = rows("environment.renamed", both, "0.5.8")
    assert f"overwrites {MEMORY}=0" in row["note"]


def test_a_name_from_a_warning_in_a_log() -> None:
    made = Facts()
    says = "Environment variable SGLANG_GC_LOG will be deprecated, please use SGLANG_LOG_GC instead"
    made.put("environment.warned", [{"name": "SGLANG_GC_LOG", "line": 12, "says": says}], "log")
    (row,) = derive(made).rows("environment.renamed")
    assert (row["line"], row["successor"], row["releases"]) == (12, "SGLANG_LOG_GC", "0.5.4.post1..0.5.17")
    assert row["works"] is True


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("UserWarning: Environment variable SGL_X is deprecated, please use SGLANG_X", "SGL_X"),
        ("Environment variable SGLANG_A will be deprecated, please use SGLANG_B instead", "SGLANG_A"),
        ("Environment variable 'SGLANG_C' is deprecated; use 'SGLANG_D' instead. The alias", "SGLANG_C"),
        ("Environment variable SGLANG_E (in ms) is deprecated, please use SGLANG_F (in seconds) instead", "SGLANG_E"),
        ("Environment variable SGLANG_G has been deprecated.", "SGLANG_G"),
        ("SGLANG_CUTLASS_MOE is deprecated, use --moe-runner-backend=cutlass", "SGLANG_CUTLASS_MOE"),
        ("SGLANG_ENABLE_SPEC_V2 has been removed: speculative decoding", "SGLANG_ENABLE_SPEC_V2"),
        ("ValueError: SGLANG_X_Y is no longer supported. Unset it.", "SGLANG_X_Y"),
        ("SGLANG_MORI_FP8_DISP and SGLANG_MORI_FP4_DISP are deprecated and", "SGLANG_MORI_FP8_DISP"),
        ("Environment variable SGLANG_LOCAL_IP_NIC requires package netifaces", None),
        ("set SGLANG_ENABLE_SPEC_V2=True to enable", None),
        ("The command line argument '--x' is deprecated", None),
    ],
)
def test_warnings_in_a_log(text: str, name: str | None) -> None:
    found = warned([(text, 3)])
    assert [(row["name"], row["line"]) for row in found] == ([(name, 3)] if name else [])


def test_all_that_environ_prints_is_recognised() -> None:
    from sgldoctor.knowledge.variables import knowledge

    for notice in knowledge().notices:
        if notice.start:
            (row,) = warned([(notice.says, 1)])
            assert row["name"] == notice.old
            assert row["says"] in notice.says


def test_several_warnings_narrow_the_release_together() -> None:
    made = facts({"SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK": "1"})
    flag = (
        "Environment variable SGLANG_ENABLE_FLASHINFER_FP8_GEMM is deprecated. It will be completely removed in 0.5.7."
    )
    old = "Environment variable SGLANG_GC_LOG will be deprecated, please use SGLANG_LOG_GC instead"
    made.put("environment.warned", warned([(flag, 1), (old, 2), ("SGLANG_GC_LOG is deprecated by me", 3)]), "log")
    found = {row["name"]: row for row in derive(made).rows("environment.renamed")}
    assert {row["releases"] for row in found.values()} == {"0.5.6.post2..0.5.9"}
    # Of these 0.5.6.post2 reads yet another name, so which to set is not certain; that it has no effect is.
    assert found["SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK"]["works"] is False


def test_the_range_that_a_log_allows_is_used() -> None:
    made = facts({"SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK": "1"})
    made.put("log.releases", {"first": "0.5.7", "last": "0.5.9"}, "log")
    (row,) = derive(made).rows("environment.renamed")
    assert (row["works"], row["successor"]) == (False, MEMORY)


def test_misspelt() -> None:
    (row,) = rows("environment.renamed", {"SGLANG_ENABLE_TP_MEMORY_IMBALANCE_CHECK": "0"}, "0.5.8")
    assert (row["kind"], row["successor"], row["successor_value"]) == ("misspelt", MEMORY, "0")


@pytest.mark.parametrize(
    "name",
    ["SGLANG_ROUTER_SOMETHING_ELSE", "SGLANG_X", "SGLANG_DEEPEP_V9_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "SGLANG_IS_OURS"],
)
def test_not_misspelt(name: str) -> None:
    assert rows("environment.renamed", {name: "1"}, "0.5.19") == []


def test_misspelling_is_not_guessed_without_a_release() -> None:
    assert rows("environment.renamed", {"SGLANG_ENABLE_TP_MEMORY_IMBALANCE_CHECK": "0"}) == []


# ------------------------------------------------------------------ values
@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        (MEMORY, "maybe", False),
        (MEMORY, "", False),
        (MEMORY, "on", False),
        (MEMORY, "YES", True),
        (MEMORY, "0", True),
        ("SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "128k", False),
        ("SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "512", True),
        ("SGLANG_MOONCAKE_CUSTOM_MEM_POOL", "NVLINK", True),
        ("SGLANG_NOBODY_KNOWS_THIS", "x", True),
    ],
)
def test_unparsable_values(name: str, value: str, fits: bool) -> None:
    found = rows("environment.invalid", {name: value}, "0.5.8")
    assert (found == []) is fits


def test_the_type_is_the_releases() -> None:
    """SGLANG_MOONCAKE_CUSTOM_MEM_POOL was a boolean before it became a string in 0.5.5.post1."""
    variables = {"SGLANG_MOONCAKE_CUSTOM_MEM_POOL": "NVLINK"}
    assert len(rows("environment.invalid", variables, "0.5.4")) == 1
    assert rows("environment.invalid", variables, "0.5.5.post1") == []


def test_a_redacted_value_is_not_judged() -> None:
    assert rows("environment.invalid", {MEMORY: "<redacted>"}, "0.5.8") == []


DEEPEP = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
NIXL = "SGLANG_NIXL_EP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"


@pytest.mark.parametrize(
    ("name", "value", "release", "beyond"),
    [
        (DEEPEP, "1024", "0.5.8", False),
        (DEEPEP, "1025", "0.5.8", True),
        (DEEPEP, "2048", "", True),
        (DEEPEP, "2048", "0.5.1.post3", False),
        (DEEPEP, "2048", "0.5.2", True),
        (NIXL, "2048", "0.5.9", False),
        (NIXL, "2048", "0.5.10", True),
        ("SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK", "16384", "0.5.19", False),
        (DEEPEP, "many", "0.5.8", False),
    ],
)
def test_dispatch_token_limit(name: str, value: str, release: str, beyond: bool) -> None:
    found = rows("environment.range", {name: value}, release)
    assert bool(found) is beyond
    if beyond:
        assert (found[0]["limit"], found[0]["value"]) == (1024, value)


def test_the_default_is_offered() -> None:
    (row,) = rows("environment.range", {DEEPEP: "2048"}, "0.5.8")
    assert row["default"] == "128"
    assert "unset it (default 128)" in row["note"]


# ------------------------------------------------------------------ devices
GPUS = [{"index": 0, "uuid": "GPU-aaaa-1"}, {"index": 1, "uuid": "GPU-bbbb-2"}]


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("0,1", False),
        ("1", False),
        ("GPU-aaaa", False),
        ("MIG-123", False),
        ("", True),
        ("-1", True),
        ("none", True),
        ("0,2", True),
        ("0,-1", True),
        ("GPU-cccc", True),
        ("0,,1", True),
    ],
)
def test_visible_devices(value: str, wrong: bool) -> None:
    found = rows("environment.invalid", {"CUDA_VISIBLE_DEVICES": value}, "", gpus=GPUS)
    assert bool(found) is wrong


def test_visible_devices_without_knowing_the_gpus() -> None:
    assert rows("environment.invalid", {"CUDA_VISIBLE_DEVICES": "0,7"}) == []
    assert len(rows("environment.invalid", {"CUDA_VISIBLE_DEVICES": ""})) == 1


def test_netifaces() -> None:
    variables = {"SGLANG_LOCAL_IP_NIC": "eth0"}
    assert rows("environment.invalid", variables) == []
    assert len(rows("environment.invalid", variables, "", packages=[{"name": "sglang"}])) == 1
    assert rows("environment.invalid", variables, "", packages=[{"name": "netifaces"}]) == []


# ------------------------------------------------------------------ interfaces
THERE = [{"name": "eth0"}, {"name": "ib0"}, {"name": "ib1"}, {"name": "lo"}]


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("ib", ["ib0", "ib1"]),
        ("ib0,eth", ["ib0", "eth0"]),
        ("=ib", []),
        ("=eth0", ["eth0"]),
        ("^lo,docker", ["eth0", "ib0", "ib1"]),
        ("^=ib0", ["eth0", "ib1", "lo"]),
        ("bond", []),
        ("^eth,ib,lo", []),
        ("mlx5_0:1", []),
    ],
)
def test_nccl_syntax(wanted: str, taken: list[str]) -> None:
    names = [row["name"] for row in THERE]
    assert sorted(nccl_match(wanted, names)) == sorted(taken)


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("NCCL_SOCKET_IFNAME", "eth", False),
        ("NCCL_SOCKET_IFNAME", "enp0s19", True),
        ("GLOO_SOCKET_IFNAME", "eth0", False),
        ("GLOO_SOCKET_IFNAME", "eth", True),
        ("GLOO_SOCKET_IFNAME", "eth0,ib0", False),
        ("GLOO_SOCKET_IFNAME", "eth0,eth9", True),
        ("SGLANG_LOCAL_IP_NIC", "bond0", True),
        ("GLOO_SOCKET_IFNAME", "", False),
    ],
)
def test_interfaces(name: str, value: str, wrong: bool) -> None:
    found = rows("environment.interface", {name: value}, "", interfaces=THERE)
    assert bool(found) is wrong


def test_interfaces_need_to_be_known() -> None:
    assert not derive(facts({"GLOO_SOCKET_IFNAME": "eth9"})).known("environment.interface")


def test_rdma_devices_by_name() -> None:
    variables = {"NCCL_IB_HCA": "=mlx5_9:1"}
    devices = [{"name": "mlx5_0", "port": "1"}]
    assert rows("environment.interface", variables, "", interfaces=THERE) == []
    found = rows("environment.interface", variables, "", interfaces=THERE, rdma__devices=devices)
    assert found[0]["interfaces"] == ["mlx5_0"]
    assert rows("environment.interface", {"NCCL_IB_HCA": "mlx5"}, "", interfaces=THERE, rdma__devices=devices) == []


# ------------------------------------------------------------------ toolkit, library path, proxy
@pytest.mark.parametrize(
    ("value", "toolkit", "problem"),
    [
        ("/usr/local/cuda", {"source": "CUDA_HOME", "exists": True, "nvcc": "/usr/local/cuda/bin/nvcc"}, None),
        ("/usr/local/cuda", {"source": "CUDA_HOME", "exists": True, "nvcc": ""}, "no nvcc"),
        ("/nonexistent", {"source": "CUDA_HOME", "exists": False, "nvcc": ""}, "missing"),
        (":/usr/local/cuda", {"source": "CUDA_HOME", "exists": False, "nvcc": ""}, "colon"),
        ("/usr/local/cuda", None, None),
    ],
)
def test_toolkit(value: str, toolkit: dict[str, Any] | None, problem: str | None) -> None:
    tables = {"toolkit": [toolkit]} if toolkit else {}
    found = rows("environment.toolkit", {"CUDA_HOME": value}, "", **tables)
    assert [row["problem"] for row in found] == ([problem] if problem else [])


def test_a_shadow_on_the_library_path() -> None:
    shadow = [
        {"library": "libcudnn.so.9", "via": "LD_LIBRARY_PATH", "folder": "/usr/lib/x"},
        {"library": "libnccl.so.2", "via": "ld.so.cache", "folder": "/usr/lib/y"},
    ]
    found = rows("environment.library_path", {}, "", libraries__shadowed=shadow)
    assert found == [{"folder": "/usr/lib/x", "problem": "shadows", "library": "libcudnn.so.9"}]


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, None),
        ({"https_proxy": "http://p:1"}, None),
        ({"http_proxy": "http://p:1"}, "localhost, 127.0.0.1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "localhost,.corp"}, "127.0.0.1"),
        ({"http_proxy": "http://p:1", "no_proxy": "localhost, 127.0.0.1"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ({"all_proxy": "socks5://p:1", "no_proxy": "localhost,127.0.0.0/8"}, None),
    ],
)
def test_proxies(variables: dict[str, str], missing: str | None) -> None:
    found = rows("environment.proxy", variables)
    assert [row["missing"] for row in found] == ([missing] if missing else [])


NAMES = st.sampled_from([
    MEMORY, DEEPEP, "SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK", "SGLANG_QUEUED_TIMEOUT_MS", "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "http_proxy", "no_proxy", "SGLANG_LOCAL_IP_NIC",
]) | st.text(max_size=40).map(lambda tail: f"SGLANG_{tail}")  # fmt: skip


@given(st.dictionaries(NAMES, st.text(max_size=60), max_size=6), st.sampled_from(["", "0.5.8", "0.5.19", "x", "1.0"]))
def test_no_value_raises(variables: dict[str, str], release: str) -> None:
    derive(facts(variables, release, gpus=GPUS, interfaces=THERE, rdma__devices=[], packages=[]))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**12)
    | st.text(max_size=20)
    | st.lists(st.text(max_size=3), max_size=2)
)
TABLES = [
    "environment", "environment.warned", "gpus", "gpu.processes", "driver", "torch", "cuda.init", "modules", "host",
    "interfaces", "rdma.devices", "toolkit", "libraries.shadowed", "packages", "sglang", "log.releases",
]  # fmt: skip


@given(st.data())
def test_a_snapshot_may_lack_or_distort_any_column(data: st.DataObject) -> None:
    made = Facts()
    for table in data.draw(st.lists(st.sampled_from(TABLES), max_size=6, unique=True)):
        columns = st.sampled_from(sorted(FACTS[table]))
        made.put(table, data.draw(st.lists(st.dictionaries(columns, VALUES, max_size=5), max_size=3)), "snapshot")
    for stage in (derive, driver.derive, rdma.derive):
        stage(made)
