"""The model repository: `<model>/<version>/`, where a version is there whole or not at all."""

import errno
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path


def publish(model: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a directory and put it at `<model>/<next version>`; return that path.

    Until then it lies beside the versions under a name that is no number, which TensorFlow Serving
    passes over. Whatever `write` raises, an interrupt included, leaves nothing behind.
    """
    before = _missing(model)
    try:
        # Not tempfile's: what that makes is for its owner alone, and the server is another user.
        temporary = model / f".unfinished-{secrets.token_hex(8)}"
        temporary.mkdir(parents=True)
        try:
            write(temporary)
            return _rename(temporary, model)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except BaseException:
        for directory in before:
            if directory.exists() and not any(directory.iterdir()):
                directory.rmdir()
        raise


def versions(model: Path) -> list[int]:
    """The versions there are, rising."""
    return sorted(int(child.name) for child in model.iterdir() if child.name.isdecimal())


def _rename(temporary: Path, model: Path) -> Path:
    while True:
        final = model / str(max(versions(model), default=0) + 1)
        try:
            # Onto a version that another exporter has just put there this fails: it is not empty.
            return temporary.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _missing(directory: Path) -> list[Path]:
    """The directories that are to be made, innermost first."""
    return [path for path in (directory, *directory.parents) if not path.exists()]
