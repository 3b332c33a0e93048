"""The Dockerfiles, as far as they can be judged without an engine."""

import re
from pathlib import Path

import pytest

from tests.support.processes import compose
from tests.support.processes.compose import TARGETS
from tests.support.project import ROOT

DOCKERFILES = [
    *sorted((ROOT / "docker").glob("Dockerfile.*")),
    *sorted(ROOT.glob("Dockerfile.*")),
    ROOT / "tests" / "docker" / "stand_in" / "Dockerfile",
]


def test_images_have_a_version() -> None:
    """Of what is pulled: in compose, and the default of every base of a Dockerfile."""
    for target in TARGETS:
        for name, service in compose.config(target)["services"].items():
            if "build" not in service:
                assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), (name, service["image"])
    for path in DOCKERFILES:
        arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", path.read_text(), re.M))
        for base in re.findall(r"^FROM (\S+)", path.read_text(), re.M):
            if replaced := re.fullmatch(r"\$\{(\w+_IMAGE)\}", base):
                assert re.search(r":\d+\.\d+", arguments[replaced[1]]), (path.name, base)


def test_what_the_dockerfiles_share_is_built_once() -> None:
    """The stage with TensorFlow: the same words, or it is downloaded and kept several times."""
    stages = {
        path.name: found[0]
        for path in DOCKERFILES
        if (found := re.findall(r"^FROM \S+ AS everything\n(?:.+\n)+", path.read_text(), re.M))
    }
    assert set(stages) == {"Dockerfile.gateway", "Dockerfile.cpu", "Dockerfile.g4"}
    assert len(set(stages.values())) == 1


def test_batches_are_padded_to_sizes_that_were_warmed_up() -> None:
    """batching_session.cc: increasing, and the last is max_batch_size."""
    from yolov4.export.targets import TARGETS as ARTEFACTS

    text = (ROOT / "docker/tfserving/batching.g4.txt").read_text()
    sizes = [int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M)]
    largest = re.search(r"^max_batch_size { value: (\d+) }$", text, re.M)
    assert largest
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == int(largest[1])
    assert tuple(sizes) == ARTEFACTS["g4"].warm_up
    flags = (ROOT / "Dockerfile.g4").read_text()
    assert "--enable_batching=true" in flags  # the file without the flag is an error at the start
    assert "--xla_gpu_compilation_enabled=true" in flags
    assert "--tf_xla_auto_jit=2" in flags


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = compose.run(compose.linter("hadolint"), "--no-color", path)
    assert done.returncode == 0, done.stdout
