"""The command line, `python -m yolov4`. Errors print one line and exit with status 2, 3 for
downloads that no source answered."""

import argparse
import os
import signal
import sys
import warnings

from yolov4.download.command import add_download
from yolov4.errors import DownloadError, ModelError
from yolov4.export.command import add_export, add_prepare
from yolov4.train.commands.draw_scenes import add_draw_scenes
from yolov4.train.commands.train import add_train
from yolov4.train.commands.train_demo import add_train_demo
from yolov4.verify.command import add_cfgs, add_verify


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m yolov4", description="Export, verify and train YOLOv4 models."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (
        *(add_export, add_prepare, add_verify, add_cfgs),
        *(add_train, add_draw_scenes, add_train_demo, add_download),
    ):
        add(commands)
    options = parser.parse_args(arguments)
    # TensorFlow raises what goes wrong; what it logs besides is about GPUs that are not used here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN's kernels on every CPU: TensorFlow itself enables them only where there is VNNI, bf16
    # or AMX, and Eigen's take 1.6 times as long on an AVX2 machine.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        options.run(options)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3 if isinstance(error, DownloadError) else 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    # SIGTERM must run the same clean-up as an interrupt.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    sys.exit(main())
