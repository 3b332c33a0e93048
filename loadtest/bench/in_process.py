"""A SavedModel called by threads of this process: one round per input line `callers seconds`.

The reference of `served`: loaded like TensorFlow Serving loads it, without a service around it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


def main(version: str, picture: str) -> None:
    with open(picture, "rb") as file:
        jpeg = file.read()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], version)
        signature = meta.signature_def["serving_default"]
        outputs = {key: info.name for key, info in signature.outputs.items()}
        call = session.make_callable(list(outputs.values()), [signature.inputs["image"].name])
        for _ in range(5):
            call([jpeg])
        print("ready", flush=True)
        for line in sys.stdin:
            callers, seconds = line.split()
            begun, cpu = time.perf_counter(), time.process_time()
            images = _round(lambda: call([jpeg]), int(callers), begun + float(seconds))
            print(images, time.perf_counter() - begun, time.process_time() - cpu, flush=True)


def _round(call: Callable[[], object], callers: int, until: float) -> int:
    counts = [0] * callers

    def work(thread: int) -> None:
        while time.perf_counter() < until:
            call()
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


if __name__ == "__main__":
    main(*sys.argv[1:])
