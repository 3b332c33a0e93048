"""The official COCO weights, from Darknet's release page: resumed where interrupted, and checked.

Sizes and SHA-256 are those of OpenVINO's Open Model Zoo (models/public/yolo-v4-tf/model.yml and
yolo-v4-tiny-tf/model.yml); the release page itself states none.
"""

import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from yolov4.network import ModelError

RELEASES = "https://github.com/AlexeyAB/darknet/releases/download"
CHUNK = 1 << 18  # bytes


class File(NamedTuple):
    url: str
    size: int  # bytes
    sha256: str


WEIGHTS = {
    "yolov4": File(
        f"{RELEASES}/darknet_yolo_v3_optimal/yolov4.weights",
        257_717_640,
        "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
    ),
    "yolov4-tiny": File(
        f"{RELEASES}/darknet_yolo_v4_pre/yolov4-tiny.weights",
        24_251_276,
        "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",
    ),
}

# The words of Darknet's coco.names, in its order.
COCO_NAMES = """
person,bicycle,car,motorbike,aeroplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,
handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,
surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,
broccoli,carrot,hot dog,pizza,donut,cake,chair,sofa,pottedplant,bed,diningtable,toilet,tvmonitor,
laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,
scissors,teddy bear,hair drier,toothbrush
""".replace("\n", "").split(",")


def download(file: File, path: Path) -> None:
    """Bring `file` to `path`. What is there already is checked, and not brought again.

    An interrupted download stays beside it as `<path>.part` and goes on from there. ModelError
    where it cannot be had, or is not the file it should be.
    """
    if path.exists():
        _check(path, file)
        return
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(file, part)
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ModelError(
            f"cannot download {file.url}: {reason}. Without a connection, bring the file "
            f"({file.size:,} bytes) to {path} and run this again: it will be checked"
        ) from error
    try:
        _check(part, file)
    except ModelError:
        part.unlink()  # going on from what is wrong would never end well
        raise
    part.rename(path)


def _fetch(file: File, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == file.size:
        return
    request = urllib.request.Request(file.url)
    if 0 < have < file.size:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=30) as response:
        resumed = response.status == 206
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            started, before = time.monotonic(), done
            while chunk := response.read(CHUNK):
                out.write(chunk)
                done += len(chunk)
                _show(part.stem, done, file.size, (done - before) / (time.monotonic() - started))
    print(file=sys.stderr)
    if done < file.size:
        raise ConnectionError(f"the connection ended after {done:,} of {file.size:,} bytes")


def _show(name: str, done: int, size: int, bytes_per_s: float) -> None:
    filled = min(30, 30 * done // size)
    print(
        f"\r{name} [{'#' * filled}{' ' * (30 - filled)}] {done / 1e6:.1f} of {size / 1e6:.1f} MB,"
        f" {bytes_per_s / 1e6:.1f} MB/s ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _check(path: Path, file: File) -> None:
    size = path.stat().st_size
    if size != file.size:
        raise ModelError(f"{path} has {size:,} bytes, but {file.size:,} are right; delete it")
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != file.sha256:
        raise ModelError(
            f"{path} is not the official file: its SHA-256 is {digest.hexdigest()}, "
            f"but {file.sha256} is right; delete it"
        )
