"""Reads files, and recognizes what is often found in place of a model's."""

from pathlib import Path

from yolov4.errors import ModelError

WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml")
GIT_LFS = b"version https://git-lfs.github.com/spec/"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


def read_file(path: Path) -> bytes:
    """Return the content. ModelError if it cannot be read, is of another kind."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if other := other_kind(data[:512]):
        raise ModelError(f"{path} {other}")
    return data


def read_text(path: Path, errors: str = "strict") -> str:
    """Return a UTF-8 file's text. `errors`: of `bytes.decode`. ModelError as `read_file`."""
    data = read_file(path)
    if data.startswith(UTF_16):
        raise ModelError(f"{path} is UTF-16 text: save it as UTF-8")
    try:
        return data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 text, from byte {error.start} on") from error


def other_kind(start: bytes) -> str:
    """What a file that starts so is instead of a model's, and what to do; empty if unknown."""
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(WEB_PAGE):
        return (
            "is a web page, not a model's file: the link leads to a page about the file, or to one "
            "that asks for confirmation. Open it in a browser and download the file itself"
        )
    if start.startswith(GIT_LFS):
        return (
            "is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository, or "
            "download the file from the repository's web page"
        )
    return ""
