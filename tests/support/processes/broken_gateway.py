"""A gateway with a bug that every picture meets."""

import sys
from typing import NoReturn

from service import __main__ as gateway
from service.api.routes import Gateway


async def detect_with(*_: object) -> NoReturn:
    raise ZeroDivisionError("a bug")


if __name__ == "__main__":
    Gateway.detect_with = detect_with  # type: ignore[method-assign, assignment]
    sys.exit(gateway.main([]))
