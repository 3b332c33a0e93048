"""Number formats, and the fastest one for this CPU."""

from pathlib import Path

# Command-line name -> TensorFlow dtype.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "fp16": "float16"}

# Linux's names of the CPU features that multiply bfloat16. Without them, bfloat16 is emulated and
# far slower than float32.
BF16_FLAGS = frozenset(("amx_bf16", "avx512_bf16"))


def cpu_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return bf16 if this machine's CPU supports it, otherwise (or if that is unknown) f32."""
    if not cpuinfo.exists():
        return "f32"
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return "bf16" if flags & BF16_FLAGS else "f32"
