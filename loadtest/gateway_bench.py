"""What the gateway costs a request, beside LitServe, BentoML and a bare forwarder at equal work.

    python -m loadtest.gateway_bench [--seconds 3] [--rounds 5] [--json FILE]

All stand before one model server that answers at once, get the same upload over kept-alive
connections, and must give the same answer. They are measured in turn, round after round, so that
what disturbs the machine meets all of them. CPU is that of the server's whole process tree.
"""

import argparse
import io
import json
import random
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from .gateway_bench_client import BadAnswer
from .gateway_bench_report import Window, as_json, environment, rows, table, verdicts
from .gateway_bench_running import NotUp, Running, null_backend, running
from .gateway_bench_servers import SERVERS, UPLOADS, Server, install, versions


def picture(seed: int) -> bytes:
    """A JPEG of ordinary size, 768 x 576 and about 150 KB: coloured patches under grain."""
    numbers = random.Random(seed)
    patches = Image.frombytes("RGB", (32, 24), numbers.randbytes(3 * 32 * 24))
    grain = Image.frombytes("RGB", (768, 576), numbers.randbytes(3 * 768 * 576))
    mixed = Image.blend(patches.resize(grain.size, Image.Resampling.BICUBIC), grain, 0.2)
    out = io.BytesIO()
    mixed.save(out, "JPEG", quality=85)
    return out.getvalue()


def bench(
    servers: Sequence[Server],
    jpeg: bytes,
    connections: int,
    seconds: float,
    rounds: int,
    warm_up_s: float = 0.5,
) -> dict[tuple[str, str], list[Window]]:
    """Windows by server and kind of upload. What does not answer as the first server is left out.

    Load of `warm_up_s` before every window is discarded, and so is the first round.
    """
    with ExitStack() as stack:
        backend = stack.enter_context(null_backend())
        up = [stack.enter_context(running(server, backend, jpeg)) for server in servers]
        alike = _alike(up)
        cells: dict[tuple[str, str], list[Window]] = {(o.server.name, u): [] for o, u in alike}
        for number in range(-1, rounds):  # the first warms up
            # There and back, so that none is always the first.
            for one, upload in alike[:: 1 if number % 2 else -1]:
                try:
                    found = one.measure(upload, connections, warm_up_s, seconds)
                except (OSError, BadAnswer) as error:
                    alike.remove((one, upload))
                    del cells[one.server.name, upload]
                    _left_out(one, upload, error)
                    continue
                if number >= 0:
                    cells[one.server.name, upload].append(found)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return cells


def _alike(up: Sequence[Running]) -> list[tuple[Running, str]]:
    """Those that answer, and as the first does. Raises NotUp where that one does not."""
    expected = up[0].answer(UPLOADS[0])
    found = []
    for one in up:
        for upload in UPLOADS:
            try:
                answer: Any = one.answer(upload)
            except NotUp as error:
                _left_out(one, upload, error)
                continue
            if answer == expected:
                found.append((one, upload))
            else:
                _left_out(one, upload, f"another answer: {answer}")
    return found


def _left_out(one: Running, upload: str, why: object) -> None:
    print(f"{one.server.name}, {upload}: left out. {why}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", type=Path, help="a JPEG to upload instead of a made one")
    parser.add_argument("--seed", type=int, default=0, help="of the made picture")
    parser.add_argument("--connections", type=int, default=8, help="requests under way at once")
    parser.add_argument("--seconds", type=float, default=3, help="of one window")
    parser.add_argument("--rounds", type=int, default=5, help="windows of each server and upload")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these peers only")
    parser.add_argument("--json", type=Path, help="write everything that was measured there")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are ended too

    first, *others = SERVERS
    servers = [first, *(s for s in others if given.only is None or s.name in given.only)]
    jpeg = given.image.read_bytes() if given.image else picture(given.seed)
    install(servers)
    surroundings = {
        **environment(),
        "upload_bytes": len(jpeg),
        "servers": {s.name: {"settings": s.settings, **versions(s)} for s in servers},
    }
    cells = bench(servers, jpeg, given.connections, given.seconds, given.rounds)
    found = rows(cells)
    print(table(found), *verdicts(found), sep="\n")
    print(json.dumps(surroundings, indent=1))
    if given.json:
        given.json.write_text(json.dumps(as_json(found, cells, surroundings), indent=1) + "\n")
    return 0 if len(found) == len(servers) * len(UPLOADS) else 1


if __name__ == "__main__":
    sys.exit(main())
