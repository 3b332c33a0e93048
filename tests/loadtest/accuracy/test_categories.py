"""Labels and COCO categories: the table of cases that `yolov4` is tested on as well."""

import pytest

from loadtest.accuracy.categories import Match, match
from tests.support.oracles.category_cases import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_label_matches_the_category_of_its_name_or_a_synonym(case: Case) -> None:
    expected = Match(case.matched, case.excluded, case.ignored)
    assert match(case.labels, case.categories) == expected
