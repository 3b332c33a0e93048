"""Every error has a status and a name."""

from starlette.requests import ClientDisconnect

from service.api import problems
from service.core import errors


def leaves(kind: type[errors.DetectError]) -> set[type[errors.DetectError]]:
    below = kind.__subclasses__()
    return {leaf for child in below for leaf in leaves(child)} if below else {kind}


def test_every_error_has_a_status() -> None:
    assert set(problems.STATUS) == leaves(errors.DetectError)


def test_reasons() -> None:
    assert problems.reason(errors.DeadlineExceeded("")) == "deadline-exceeded"
    assert problems.reason(ClientDisconnect()) == "client-disconnect"
    assert problems.reason(KeyError("secret")) == "internal-error"
