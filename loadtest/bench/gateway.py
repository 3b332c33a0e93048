"""CPU time per request of the gateway, compared with LitServe, BentoML and a bare forwarder.

    python -m loadtest.bench gateway [--seconds 3] [--rounds 5] [--json FILE]

All forward to one null backend that answers immediately, receive the same upload over keep-alive
connections, and must return the same answer. They are measured in turn, round after round, so that
noise of the machine affects all of them. CPU is that of the server's whole process tree.
"""

import argparse
import io
import json
import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from .client import BadResponse
from .gateway_table import Window, as_json, environment, rows, table, verdicts
from .running import NotUp, Running, null_backend, running
from .servers import SERVERS, UPLOADS, Server, install, versions


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
    """Windows by server and kind of upload. Servers that answer unlike the first are left out.

    Load of `warm_up_s` before every window is discarded, and so is the first round.
    """
    with ExitStack() as stack:
        backend = stack.enter_context(null_backend())
        up = [stack.enter_context(running(one, backend, jpeg)) for one in servers]
        alike = _alike(up)
        cells: dict[tuple[str, str], list[Window]] = {
            (server.server.name, upload): [] for server, upload in alike
        }
        for number in range(-1, rounds):  # the first warms up
            # In alternating order, so that no server is always the first.
            for server, upload in alike[:: 1 if number % 2 else -1]:
                try:
                    window = server.measure(upload, connections, warm_up_s, seconds)
                except (TimeoutError, BadResponse) as error:
                    alike.remove((server, upload))
                    del cells[server.server.name, upload]
                    _left_out(server, upload, error)
                    continue
                if number >= 0:
                    cells[server.server.name, upload].append(window)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return cells


def _alike(up: Sequence[Running]) -> list[tuple[Running, str]]:
    """Servers and uploads with the answer of the first. NotUp if that one does not answer."""
    expected = up[0].answer(UPLOADS[0])
    alike = []
    for server in up:
        for upload in UPLOADS:
            try:
                answer: Any = server.answer(upload)
            except NotUp as error:
                _left_out(server, upload, error)
                continue
            if answer == expected:
                alike.append((server, upload))
            else:
                _left_out(server, upload, f"different answer: {answer}")
    return alike


def _left_out(server: Running, upload: str, why: object) -> None:
    print(f"{server.server.name}, {upload}: left out. {why}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench gateway",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", type=Path, help="JPEG to upload instead of a generated one")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated picture")
    parser.add_argument("--connections", type=int, default=8, help="concurrent requests")
    parser.add_argument("--seconds", type=float, default=3, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5, help="windows per server and upload")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="compare with these only")
    parser.add_argument("--json", type=Path, help="write all measurements")
    options = parser.parse_args(arguments)

    first, *others = SERVERS
    servers = [first, *(s for s in others if options.only is None or s.name in options.only)]
    jpeg = options.image.read_bytes() if options.image else picture(options.seed)
    install(servers)
    surroundings = {
        **environment(),
        "upload_bytes": len(jpeg),
        "servers": {s.name: {"settings": s.settings, **versions(s)} for s in servers},
    }
    cells = bench(servers, jpeg, options.connections, options.seconds, options.rounds)
    medians = rows(cells)
    print(table(medians), *verdicts(medians), sep="\n")
    print(json.dumps(surroundings, indent=1))
    if options.json:
        options.json.write_text(json.dumps(as_json(medians, cells, surroundings), indent=1) + "\n")
    return 0 if len(medians) == len(servers) * len(UPLOADS) else 1
