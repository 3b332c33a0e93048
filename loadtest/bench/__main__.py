"""`python -m loadtest.bench gateway|served|overload`."""

import signal
import sys
from collections.abc import Sequence

from .. import CommandError
from . import gateway, overload, served

BENCHES = {"gateway": gateway.main, "served": served.main, "overload": overload.main}


def main(arguments: Sequence[str] | None = None) -> int:
    typed = sys.argv[1:] if arguments is None else list(arguments)
    if not typed or typed[0] not in BENCHES:
        print(f"usage: python -m loadtest.bench {{{','.join(BENCHES)}}} [--help]", file=sys.stderr)
        return 0 if typed[:1] in (["-h"], ["--help"]) else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the started processes too
    try:
        return BENCHES[typed[0]](typed[1:])
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
