"""The command line of a short training."""

from pathlib import Path


def arguments(scenes: Path, out: Path, steps: int, *more: str) -> list[str]:
    files = ["--data", str(scenes / "instances.json"), "--images", str(scenes)]
    files += ["--cfg", str(scenes / "start.cfg"), "--out", str(out)]
    files += ["--name", "n", "--steps", str(steps), "--batch", "4", "--validation", "0"]
    return ["train", *files, *more]
