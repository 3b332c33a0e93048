"""Number formats, and the fastest one for this CPU."""

from pathlib import Path

# Command-line name -> TensorFlow dtype.
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "fp16": "float16", "int8": "int8"}

# Linux's name of the CPU feature (AMX) with which bfloat16 is faster than float32. With avx512_bf16
# alone YOLOv4 took 1.8 times as long as in float32, and OpenVINO 1.7 times; else it is emulated.
BF16_FLAG = "amx_bf16"


def cpu_precision(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return bf16 if it is fast on this machine's CPU, otherwise (or if that is unknown) f32."""
    if not cpuinfo.exists():
        return "f32"
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    return "bf16" if BF16_FLAG in flags else "f32"
