"""The committed table of instructions per malloc and free (bench/golden.toml) holds for what was just built."""

import pytest

from bench import golden
from tests.support import ROOT, is_current


@pytest.mark.parametrize("toolchain", ["clang", "gcc"])
def test_no_pattern_costs_more_than_committed(toolchain):
    so = ROOT / "build" / f"{toolchain}-bench_minimal" / "base" / "libhakmem.so"
    if not (so.exists() and is_current(so)):
        pytest.fail(f"{so.relative_to(ROOT)} is not built or not current: run ninja matrix")
    assert golden.main(["--so", str(so), "--stage", "base", "--toolchain", toolchain, "--variant", "bench_minimal",
                        "--check"]) == 0
