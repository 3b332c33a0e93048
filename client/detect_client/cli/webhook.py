"""Calls a webhook when a label appears, at most once per cooldown for each label."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import httpx

from ..results import Result

TIMEOUT_S = 5.0


class Webhook:
    """`post` gets JSON: `label`, `score`, `box`, `source`, `time` (Unix seconds) and `detections`.

    A webhook that fails is reported and does not stop the detection.
    """

    def __init__(
        self,
        post: str,
        labels: Sequence[str],
        cooldown_s: float,
        source: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post = post
        self._cooldown_s = cooldown_s
        self._source = source
        self._clock = clock
        self._quiet_until = dict.fromkeys(labels, float("-inf"))
        self._http = httpx.Client(timeout=TIMEOUT_S)

    def __call__(self, result: Result) -> None:
        content = result.to_dict()
        now = self._clock()
        for d in content["detections"]:  # best first
            label = d["label"]
            if now < self._quiet_until.get(label, float("inf")):
                continue
            self._quiet_until[label] = now + self._cooldown_s
            event = {**d, "source": self._source, "time": time.time(), **content}
            try:
                self._http.post(self._post, json=event).raise_for_status()
            except httpx.HTTPError as error:
                print(f"webhook {self._post}: {error}", file=sys.stderr)

    def close(self) -> None:
        self._http.close()
