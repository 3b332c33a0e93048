from pathlib import Path

import pytest

from yolov4.darknet.cfg import read_sections
from yolov4.errors import ModelError

# Keys of Darknet's src/parser.c that concern training only, by section.
TRAINING_KEYS = {
    "convolutional": "angle assisted_excitation dot grad_centr reverse stream wait_stream",
    "shortcut": "",
    "route": "stream wait_stream",
    "maxpool": "out_channels",
    "upsample": "",
    "dropout": "probability dropblock dropblock_size_abs dropblock_size_rel",
    "contrastive": "classes cls_normalizer contrastive_neg_max max_delta temperature yolo_layer",
    "yolo": "cls_normalizer counters_per_class delta_normalizer dets_for_show "
    "dets_for_track embedding_layer focal_loss ignore_thresh iou_loss iou_normalizer "
    "iou_thresh iou_thresh_kind jitter label_smooth_eps map max max_delta "
    "obj_normalizer objectness_smooth random resize show_details sim_thresh track_ciou_norm "
    "track_history_size truth_thresh",
    "Gaussian_yolo": "cls_normalizer counters_per_class delta_normalizer ignore_thresh iou_loss "
    "iou_normalizer iou_thresh iou_thresh_kind jitter label_smooth_eps map max max_delta "
    "obj_normalizer objectness_smooth random resize truth_thresh uc_normalizer",
    "region": "absolute bias_match class_scale coord_scale focal_loss jitter log map "
    "mask_scale max noobject_scale object_scale random rescore resize sqrt thresh",
    # [net] may have any key, known or not.
    "net": "batch subdivisions momentum decay saturation exposure hue max_batches policy steps "
    "scales mosaic cutmix optimized_memory workspace_size_limit_MB",
}
TRAINING_KEYS_OF_ANY_SECTION = (
    "burnin_update clip dont_update learning_rate onlyforward show_receptive_field stopbackward "
    "train_only_bn"
)
# Keys that change what Darknet computes, with the value that has no effect (None: every value has).
UNSUPPORTED_KEYS: list[tuple[str, str, str | None]] = [
    ("net", "time_steps", "1"),
    ("convolutional", "antialiasing", "0"),
    ("convolutional", "binary", "0"),
    ("convolutional", "xnor", "0"),
    ("convolutional", "bin_output", "0"),
    ("convolutional", "share_index", None),
    ("convolutional", "sway", "0"),
    ("convolutional", "rotate", "0"),
    ("convolutional", "stretch", "0"),
    ("convolutional", "stretch_sway", "0"),
    ("convolutional", "flipped", "0"),
    ("convolutional", "coordconv", "0"),
    ("convolutional", "dontload", "0"),
    ("convolutional", "dontloadscales", "0"),
    ("shortcut", "weights_type", "none"),
    ("shortcut", "weights_normalization", "none"),
    ("maxpool", "antialiasing", "0"),
    ("maxpool", "maxpool_depth", "0"),
    ("maxpool", "maxpool_zero_nonmax", "0"),
    ("upsample", "scale", "1"),
    ("reorg", "reverse", "0"),
    ("reorg3d", "reverse", "0"),
    ("region", "coords", "4"),
    ("region", "classfix", "0"),
    ("region", "tree", None),
]


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
def test_spaces_comments_and_line_endings_do_not_matter(tmp_path: Path, text: str) -> None:
    assert sections(tmp_path, text) == [("net", {"width": "64"}), ("route", {"layers": "-1,-3"})]


def test_a_comment_in_another_encoding_is_ignored(tmp_path: Path) -> None:
    assert sections(tmp_path, b"# gr\xf6\xdfe\n[net]\nwidth=64\n") == [("net", {"width": "64"})]


@pytest.mark.parametrize("section", TRAINING_KEYS)
def test_training_keys_are_ignored(tmp_path: Path, section: str) -> None:
    keys = f"{TRAINING_KEYS[section]} {TRAINING_KEYS_OF_ANY_SECTION}".split()
    read = sections(tmp_path, f"[{section}]\n" + "\n".join(f"{key}=7" for key in keys))
    assert read == [(section, dict.fromkeys(keys, "7"))]


@pytest.mark.parametrize(("section", "key", "harmless"), UNSUPPORTED_KEYS)
def test_keys_that_change_the_result_are_refused(
    tmp_path: Path, section: str, key: str, harmless: str | None
) -> None:
    if harmless is not None:
        read = sections(tmp_path, f"[{section}]\n{key}={harmless}")
        assert read == [(section, {key: harmless})]
    with pytest.raises(ModelError, match=rf"some\.cfg, line 2: {key}=7 in \[{section}\] is not"):
        sections(tmp_path, f"[{section}]\n{key}=7")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[net]\n\n[crnn]\nstride=2", 3, r"\[crnn\] is not supported"),
        ("[net]\n[route]\nlayer=-1", 3, r"layer=-1: unknown key of \[route\]"),
        ("[net]\n[route]\nlayers", 3, r"expected \[section\]"),
        ("[net]\n[route]\nlayers=", 3, r"expected \[section\]"),
        ("width=3\n[net]", 1, "precedes the first"),
        ("[net]\nwidth=32\nheight=32\nwidth=64", 2, "width=32, but line 4 has another value"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"some\.cfg, line {line}: .*{reason}"):
        sections(tmp_path, text)


def test_a_repeated_key_with_the_same_value_is_accepted(tmp_path: Path) -> None:
    assert sections(tmp_path, "[net]\nwidth=32\nwidth=32") == [("net", {"width": "32"})]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"
    with pytest.raises(ModelError, match=r"some\.cfg is UTF-16 text: save it as UTF-8"):
        sections(tmp_path, f"{mark}[net]\nwidth=32\n".encode(encoding))


def test_a_web_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"some\.cfg is a web page"):
        sections(tmp_path, "\n\n<!DOCTYPE html>\n<html lang='en'>")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_sections_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match=r"is it a \.cfg file"):
        sections(tmp_path, text)


def test_a_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none\.cfg: No such file"):
        read_sections(tmp_path / "none.cfg")
