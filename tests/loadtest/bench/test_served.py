"""`make bench-served` on a small model: both ways answer, and what it prints is arithmetic."""

import re
from pathlib import Path

import pytest

from loadtest.bench.served import main
from tests.support.inputs.pictures import picture
from tests.support.project import free_port


@pytest.mark.slow
def test_a_round_of_each(
    small_repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jpeg = tmp_path / "picture.jpg"
    jpeg.write_bytes(picture(320, 240))
    arguments = ["--model=small", f"--repository={small_repository}", f"--picture={jpeg}"]
    assert main([*arguments, "--rounds=1", "--seconds=0.5", f"--port={free_port()}"]) == 0
    one, summary = capfd.readouterr().out.splitlines()
    served, served_cpu, alone, alone_cpu, memory = map(float, re.findall(r"[\d.]+(?= \w)", one))
    assert min(served, served_cpu, alone, alone_cpu) > 0
    assert 100 < memory < 3000
    rate, by_cpu = re.findall(r"(?<![\d.])\d\.\d{3}", summary)
    assert float(rate) == pytest.approx(served / alone, abs=0.01)
    assert float(by_cpu) == pytest.approx(alone_cpu / served_cpu, abs=0.05)
