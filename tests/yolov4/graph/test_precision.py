"""On which CPUs bfloat16 is the default."""

from pathlib import Path

import pytest

from yolov4.graph.precision import cpu_precision


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("fpu avx2 avx512f amx_bf16 amx_tile", "bf16"),
        ("fpu avx512f avx512_bf16", "f32"),
        ("fpu avx2 avx512f avx512_vnni", "f32"),
        ("fpu amx_bf16_not", "f32"),
        ("", "f32"),
    ],
)
def test_the_flags_decide(tmp_path: Path, flags: str, wanted: str) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: amx_bf16\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert cpu_precision(file) == wanted


def test_unknown_cpu_features_mean_float32(tmp_path: Path) -> None:
    assert cpu_precision(tmp_path / "none") == "f32"
