"""Only TensorFlow's announcements are dropped from the log."""

import os
import subprocess
import sys
from typing import NoReturn

import pytest
import tensorflow as tf

from service.model_server.start_up_lines import run_first_session
from tests.support.project import ROOT

PROGRAM = """
import os, tensorflow as tf
from service.model_server.start_up_lines import run_first_session
run_first_session(tf.compat.v1.ConfigProto())
os.write(2, b"between\\n")
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    session.run(tf.constant(1))
"""


@pytest.mark.parametrize(("level", "announced"), [("3", False), ("0", True)])
def test_a_process_announces_only_what_it_is_asked_to(level: str, announced: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("MLIR V1" in done.stderr) is announced
    assert (done.stderr == "between\n") is not announced


def test_errors_and_other_lines_pass(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error = b"E0000 00:00:1795537827.35 15152 file.cc:1] no memory\n"

    def session(**_: object) -> NoReturn:
        os.write(2, b"I0000 00:00:1795537827.35 15152 file.cc:1] hello\n" + error + b"Other\n")
        raise RuntimeError

    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setattr(tf.compat.v1, "Session", session)
    with pytest.raises(RuntimeError):
        run_first_session(tf.compat.v1.ConfigProto())
    os.write(2, b"after\n")
    assert capfd.readouterr().err == error.decode() + "Other\nafter\n"
