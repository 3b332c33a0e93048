"""The number formats there are, and which of them a CPU is fastest in."""

from pathlib import Path

# On the command line -> TensorFlow's dtype.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "fp16": "float16"}

# Linux' names for instructions that multiply bfloat16. Without them it is emulated, far slower than
# float32.
BF16_FLAGS = frozenset(("amx_bf16", "avx512_bf16"))


def cpu_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """bf16 where this machine's CPU multiplies in it, else, or where that cannot be told, f32."""
    if not cpuinfo.exists():
        return "f32"
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return "bf16" if flags & BF16_FLAGS else "f32"
