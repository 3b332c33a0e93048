"""Connects each model's detector to its model servers: the stable version, canary and shadow."""

from ..backend.client import TFServing
from ..core.metrics import Metrics
from ..detection.detector import Detector, Detectors
from ..detection.pictures import Pictures
from ..detection.shadow import Shadow
from ..settings import Settings


def connect(
    pictures: Pictures, settings: Settings, metrics: Metrics
) -> tuple[Detectors, list[TFServing]]:
    """The detectors, and what is to be closed at the end."""
    opened: list[TFServing] = []

    def serving(name: str, version: str | None, track: str, target: str = "") -> TFServing:
        own = settings.model_copy(update={"backend": target or settings.backend})
        opened.append(TFServing(name, own, metrics, version, track))
        return opened[-1]

    canaries, shadows = settings.canaries, settings.shadows
    detectors = []
    for name in settings.model_names:
        stable = serving(name, settings.model_versions.get(name), "stable")
        detector = Detector(name, stable, pictures, settings, metrics)
        if canary := canaries.get(name):
            backend = serving(name, canary.version, "canary", settings.canary_backend)
            detector.versions.add_canary(backend, canary, settings.canary_salt)
        if shadow := shadows.get(name):
            detector.shadow = Shadow(
                name,
                serving(name, shadow.version, "shadow", settings.shadow_backend),
                shadow.percent,
                settings.shadow_max_in_flight,
                settings.deadline_s,
                metrics,
                detector.saturated,
            )
        detectors.append(detector)
    return Detectors(detectors), opened
