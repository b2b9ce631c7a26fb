"""C++ names, held against c++filt where there is one, and against names written down from it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.probe.demangle import demangle, qualified
from sgldoctor.probe.elf import Elf
from sgldoctor.probe.symbols import other_form

NAMES = {
    "_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib": (
        "c10::cuda::c10_cuda_check_implementation(int, char const*, char const*, int, bool)"
    ),
    "_ZNK3c106SymInt22maybe_as_int_slow_pathEv": "c10::SymInt::maybe_as_int_slow_path() const",
    "_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE": (
        "c10::Error::Error(c10::SourceLocation, std::__cxx11::basic_string<char, std::char_traits<char>, "
        "std::allocator<char> >)"
    ),
    "_ZN2at4_ops5zeros4callEN3c108ArrayRefINS2_6SymIntEEESt8optionalINS2_10ScalarTypeEES6_INS2_6LayoutEES6_INS2_6DeviceE"
    "ES6_IbE": (
        "at::_ops::zeros::call(c10::ArrayRef<c10::SymInt>, std::optional<c10::ScalarType>, std::optional<c10::Layout>, "
        "std::optional<c10::Device>, std::optional<bool>)"
    ),
    "_ZN2at6launchESt8functionIFvvEE": "at::launch(std::function<void ()>)",
    "_ZTVN10__cxxabiv120__si_class_type_infoE": "vtable for __cxxabiv1::__si_class_type_info",
    "_ZTHN3c104impl26raw_local_dispatch_key_setE": "TLS init function for c10::impl::raw_local_dispatch_key_set",
    "_ZN6google8protobuf5Arena18CreateMaybeMessageIN10onnx_torch10GraphProtoEJEEEPT_PS1_DpOT0_": (
        "onnx_torch::GraphProto* google::protobuf::Arena::CreateMaybeMessage<onnx_torch::GraphProto>"
        "(google::protobuf::Arena*)"
    ),
    "_ZNKR2at6Tensor3fooEv": "at::Tensor::foo() const &",
    "_Z1fPFivERA3_i": "f(int (*)(), int (&) [3])",
    "_Z1fM1AKFvvE": "f(void (A::*)() const)",
    "_ZN12_GLOBAL__N_11gEv": "(anonymous namespace)::g()",
}


@pytest.mark.parametrize(("symbol", "name"), NAMES.items())
def test_names(symbol: str, name: str) -> None:
    assert demangle(symbol) == name
    if shutil.which("c++filt"):
        done = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == name


@pytest.mark.parametrize(
    "symbol",
    ["", "cudnnCreate", "_ZN99999c10E", "_ZN3c1", "_ZN", "_Z", "_Z1fS5_", "_Z1fT_", "_Z1fi\udc80"],
)
def test_what_is_no_whole_name_has_none(symbol: str) -> None:
    assert demangle(symbol) == ""


def test_the_name_alone() -> None:
    assert (
        qualified("_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib") == "c10::cuda::c10_cuda_check_implementation"
    )
    assert qualified("ncclCommInitRank") == ""


@pytest.mark.skipif(not Path("/usr/lib/x86_64-linux-gnu/libstdc++.so.6").exists(), reason="no libstdc++")
@pytest.mark.skipif(shutil.which("c++filt") is None, reason="no c++filt")
def test_the_exports_of_a_real_library() -> None:
    elf = Elf("/usr/lib/x86_64-linux-gnu/libstdc++.so.6")
    names = sorted({name.decode() for name in elf.defined(b"_ZN")})
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    told = [
        (mine, theirs) for name, theirs in zip(names, done.stdout.splitlines(), strict=True) if (mine := demangle(name))
    ]
    assert len(told) > 0.9 * len(names)
    # The short names of std::string and the streams are kept: c++filt writes their templates out.
    plain = [(mine, theirs) for mine, theirs in told if "basic_" not in theirs]
    assert sum(mine == theirs for mine, theirs in plain) > 0.97 * len(plain)


@given(st.text(alphabet="_ZNSKRPIEJTDcvLFXAsta0123456789Cifbjlm", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    for symbol in ("_Z" + text, "_ZN" + text):
        assert isinstance(demangle(symbol), str)
        assert isinstance(qualified(symbol), str)


def test_another_form_of_a_function(tmp_path: Path) -> None:
    path = tmp_path / "libc10_cuda.so"
    code = (
        'void a(void) __asm__("_ZN3c104cuda5checkEijb"); void a(void) {}'
        'void b(void) __asm__("_ZN3c104cuda6check2Ei"); void b(void) {}'
    )
    command = ["gcc", "-shared", "-nostdlib", "-fPIC", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=code, text=True, check=True)
    assert other_form(b"_ZN3c104cuda5checkEiib", Elf(str(path))) == "c10::cuda::check(int, unsigned int, bool)"
    assert other_form(b"_ZN3c104cuda4goneEi", Elf(str(path))) == ""
    assert other_form(b"cudnnCreate", Elf(str(path))) == ""
