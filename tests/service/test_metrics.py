"""The instruments, by value."""

from itertools import pairwise

from service.metrics import SECONDS, Metrics


def test_buckets_resolve_a_p90_between_5_ms_and_2_s() -> None:
    inside = [b for b in SECONDS if 0.0038 <= b <= 2.8]
    steps = [b / a for a, b in pairwise(inside)]
    assert inside[0] <= 0.005
    assert inside[-1] >= 2
    assert max(steps) < 1.45


def test_only_the_newest_version_is_shown() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.show_version("voc", 1)
    metrics.show_version("voc", 2)
    assert value("detect_backend_ready") == 1
    assert value("detect_model_info", {"name": "voc", "version": "2"}) == 1
    assert value("detect_model_info", {"name": "voc", "version": "1"}) is None
    metrics.show_version("voc", None)
    assert value("detect_backend_ready") == 0
    assert value("detect_model_info", {"name": "voc", "version": "2"}) is None
