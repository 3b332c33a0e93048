from pathlib import Path

import pytest

from yolov4.darknet.cfg import KEYS, read_sections
from yolov4.errors import ModelError


def sections(folder: Path, text: str | bytes) -> list[tuple[str, dict[str, str]]]:
    path = folder / "some.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [
        (section.name, {key: value for key, (value, _) in section.values.items()})
        for section in read_sections(path)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[net]\nwidth=64\n[route]\nlayers=-1,-3\n",
        "\ufeff[net]\r\nwidth=64\r\n\r\n[route]\r\nlayers=-1,-3\r\n",
        "# first\n\n [ net ] \n\twidth = 64 # pixels\n;height=3\n[route]\nlayers = -1,  -3 ; two",
    ],
    ids=["plain", "BOM and CRLF", "comments and spaces"],
)
def test_the_same_sections_however_they_are_written(tmp_path: Path, text: str) -> None:
    assert sections(tmp_path, text) == [("net", {"width": "64"}), ("route", {"layers": "-1,-3"})]


def test_a_comment_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    assert sections(tmp_path, b"# gr\xf6\xdfe\n[net]\nwidth=64\n") == [("net", {"width": "64"})]


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_training_are_passed_over(tmp_path: Path, kind: str) -> None:
    keys = [*KEYS[kind].training.split(), "stopbackward", "learning_rate"]
    read = sections(tmp_path, f"[{kind}]\n" + "\n".join(f"{key}=7" for key in keys))
    assert read == [(kind, dict.fromkeys(keys, "7"))]


@pytest.mark.parametrize("kind", KEYS)
def test_keys_that_would_change_the_result_are_refused_unless_they_do_not(
    tmp_path: Path, kind: str
) -> None:
    for entry in KEYS[kind].refused.split():
        key, harmless = entry.split("=")
        if harmless:
            assert sections(tmp_path, f"[{kind}]\n{entry}") == [(kind, {key: harmless})]
        with pytest.raises(ModelError, match=rf"some\.cfg, line 2: {key}=7 in \[{kind}\] is not"):
            sections(tmp_path, f"[{kind}]\n{key}=7")


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("convolutional", "dilation"),
        ("convolutional", "antialiasing"),
        ("convolutional", "share_index"),
        ("convolutional", "xnor"),
        ("convolutional", "binary"),
        ("convolutional", "stretch"),
        ("convolutional", "coordconv"),
        ("shortcut", "weights_type"),
        ("maxpool", "maxpool_depth"),
        ("upsample", "scale"),
    ],
)
def test_the_keys_darknet_computes_with_and_we_do_not_are_among_the_refused(
    kind: str, key: str
) -> None:
    assert f"{key}=" in KEYS[kind].refused


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[net]\n\n[reorg]\nstride=2", 3, r"\[reorg\] is not supported"),
        ("[net]\n[route]\nlayer=-1", 3, r"layer=-1: no key of \[route\]"),
        ("[net]\n[route]\nlayers", 3, "neither"),
        ("[net]\n[route]\nlayers=", 3, "neither"),
        ("width=3\n[net]", 1, "before the first"),
        ("[net]\nwidth=32\nheight=32\nwidth=64", 2, "width=32, but line 4 says otherwise"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    with pytest.raises(ModelError, match=rf"some\.cfg, line {line}: .*{reason}"):
        sections(tmp_path, text)


def test_saying_the_same_twice_is_no_mistake(tmp_path: Path) -> None:
    assert sections(tmp_path, "[net]\nwidth=32\nwidth=32") == [("net", {"width": "32"})]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match=r"is it a \.cfg"):
        sections(tmp_path, text)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none\.cfg: No such file"):
        read_sections(tmp_path / "none.cfg")
