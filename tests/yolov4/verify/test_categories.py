import pytest

from tests.support.oracles.category_cases import CASES, Case
from yolov4.verify.categories import match


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_labels_are_matched_as_loadtest_matches_them(case: Case) -> None:
    result = match(case.labels, case.categories)
    assert result.matched == case.matched
    assert result.excluded == case.excluded
    assert result.ignored == case.ignored
