"""Every error has a status and a name."""

from service import errors
from service.api import problems


def leaves(kind: type[errors.DetectError]) -> set[type[errors.DetectError]]:
    below = kind.__subclasses__()
    return {leaf for child in below for leaf in leaves(child)} if below else {kind}


def test_the_table_of_statuses_is_total() -> None:
    assert set(problems.STATUS) == leaves(errors.DetectError)


def test_slug() -> None:
    assert problems.slug(errors.DeadlineExceeded("")) == "deadline-exceeded"
