"""The metrics of canaries and shadow traffic; each appears with its first use."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SCORES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class RolloutMetrics:
    """Part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.canary_percent = Gauge(
            "detect_canary_percent",
            "DETECT_CANARY's percentage.",
            ["model"],
            registry=registry,
        )
        self.canary_fallbacks = Counter(
            "detect_canary_fallbacks",
            "Images of the canary's callers that the stable version answered, because the canary"
            " was unavailable or failed.",
            ["model", "reason"],
            registry=registry,
        )
        self.shadow_images = Counter(
            "detect_shadow_images",
            "Images chosen for the shadow version: compared, dropped or failed.",
            ["model", "outcome"],
            registry=registry,
        )
        self.shadow_detections = Counter(
            "detect_shadow_detections",
            "Detections of compared images: matched, missing from the shadow version, or extra.",
            ["model", "outcome"],
            registry=registry,
        )
        self.shadow_score_difference = Histogram(
            "detect_shadow_score_difference",
            "Absolute difference of the scores of matched detections.",
            ["model"],
            buckets=SCORES,
            registry=registry,
        )
