"""Keeps what TensorFlow's C++ announces about itself out of the log; its errors stay."""

import os
import re
import tempfile

import tensorflow as tf

STANDARD_ERROR = 2
# What absl writes above its first line, and lines of level INFO.
ANNOUNCEMENT = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called|I\d{4} \d\d:\d\d"
)


def run_first_session(config: tf.compat.v1.ConfigProto) -> None:
    """Run a TensorFlow session on an empty graph, and pass on only what is not an announcement.

    TensorFlow logs these lines at the first session of a process, whatever TF_CPP_MIN_LOG_LEVEL
    says. Its thread pools are those of the first session too, so `config` must be that of the
    models. Where that variable is unset or 0, everything is passed on.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0":
        return
    try:
        kept = os.dup(STANDARD_ERROR)
    except OSError:  # standard error is closed
        return
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), STANDARD_ERROR)
        try:
            with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
                session.run(tf.constant(0))
        finally:
            os.dup2(kept, STANDARD_ERROR)
            os.close(kept)
            lines.seek(0)
            for line in lines:
                if not ANNOUNCEMENT.match(line):
                    os.write(STANDARD_ERROR, line)
