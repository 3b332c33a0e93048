"""The ModelServerConfig: reads and checks it, and selects the versions to serve.

The rules and texts are those of tensorflow/serving `model_servers/server_core.cc` and
`sources/storage_path/file_system_storage_path_source.cc`. Errors are `tf.errors.OpError`.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2

PLATFORM = "tensorflow"
log = logging.getLogger(__name__)


def single(name: str, base_path: str) -> Any:
    """The ModelServerConfig of --model_name and --model_base_path."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read(path: Path) -> Any:
    """The ModelServerConfig in the text-format file `path`."""
    return parse(path, model_server_config_pb2.ModelServerConfig())


def parse(path: Path, message: Any) -> Any:
    """The empty `message`, filled with what the text-format file `path` says."""
    try:
        text = path.read_text()
    except OSError as error:
        raise tf.errors.NotFoundError(None, None, f"{path}; {error.strerror}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise tf.errors.InvalidArgumentError(
            None, None, f"Invalid protobuf file: '{path}' ({error})"
        ) from error


def check(config: Any, previous: Mapping[str, Any]) -> None:
    """Raises INVALID_ARGUMENT for what TensorFlow Serving refuses. `previous`: name -> ModelConfig
    that is being replaced."""
    if config.WhichOneof("config") == "custom_model_config":
        raise _invalid("ModelServer does not yet support custom model config.")
    seen: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in seen:
            raise _invalid(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)
        if not Path(model.base_path).is_absolute():
            raise _invalid(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
        if not model.model_platform:
            raise _invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) "
                f"nor ModelServerConfig::model_platform, model name is {model.name}"
            )
        before = previous.get(model.name)
        if before is not None and before.model_platform != model.model_platform:
            raise _invalid(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{before.model_platform} and new platform requested is {model.model_platform}"
            )
        if model.model_platform != PLATFORM:
            raise _invalid(
                f"Model {model.name} requests unsupported platform {model.model_platform}"
            )


def wanted_versions(model: Any) -> dict[int, Path]:
    """Version -> directory: what the version policy of the ModelConfig `model` wants served now."""
    base = Path(model.base_path)
    try:
        found = {
            int(child.name): child for child in base.iterdir() if re.fullmatch(r"\d+", child.name)
        }
    except OSError as error:
        raise _invalid(
            f"Could not find base path {base} for servable {model.name} "
            f"with error NOT_FOUND: {base}; {error.strerror}"
        ) from error
    policy = model.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            wanted: Iterable[int] = found
        case "specific":
            wanted = found.keys() & set(policy.specific.versions)
        case _:
            wanted = sorted(found)[-max(policy.latest.num_versions, 1) :]
    return {number: found[number] for number in wanted}


def _invalid(text: str) -> Any:
    return tf.errors.InvalidArgumentError(None, None, text)
