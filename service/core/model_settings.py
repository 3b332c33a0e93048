"""The settings of models: their names, versions, canaries and shadow traffic."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from . import versions
from .logs.settings import PREFIX, LogSettings

MODEL_NAME = r"[\w.-]{1,128}"  # part of a path


def split_names(text: str) -> tuple[str, ...]:
    """`a, b` as a tuple; empty for an empty text."""
    return tuple(map(str.strip, text.split(","))) if text.strip() else ()


def _names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The models by validated fields; empty where those are invalid."""
    if not {"models", "model_name"} <= data.keys():
        return ()
    return split_names(data["models"]) or (data["model_name"],)


class ModelSettings(LogSettings):
    """Read once from the environment. Of several models, each has its own versions."""

    models: str = Field(
        "",
        description="Models to request from the model server, separated by commas; the first is the"
        " default, which `/detect` asks. Empty: only `DETECT_MODEL_NAME`.",
    )
    model_name: str = Field(
        "yolov4",
        description="Model to request from the model server, if there is one; with `DETECT_MODELS`,"
        " its first.",
        min_length=1,
        validate_default=False,
    )
    model_version: str = Field(
        "",
        description="Model version to request, a number or a label; with several `DETECT_MODELS`:"
        " `coco=stable,voc=2`. Empty: the newest that is loaded.",
    )
    canary: str = Field(
        "",
        description="Version (number or label) and percentage of the callers that it answers:"
        " `canary:10`; with several `DETECT_MODELS`: `coco=canary:10,voc=2:5`. Needs"
        " `DETECT_MODEL_VERSION`. Empty: no canary.",
    )
    canary_salt: str = Field(
        "",
        description="Text hashed with each caller; another one chooses other callers. The same on"
        " all gateways.",
    )
    canary_backend: str = Field(
        "",
        description="Model servers of the canary, written as `DETECT_BACKEND`. Empty: the same.",
    )
    shadow: str = Field(
        "",
        description="Version and percentage of the pictures that are also sent to it, after the"
        " response, to compare detections; written as `DETECT_CANARY`. Empty: no shadow traffic.",
    )
    shadow_backend: str = Field(
        "",
        description="Model servers of the shadow version, written as `DETECT_BACKEND`. Empty: the"
        " same.",
    )
    shadow_max_in_flight: Annotated[int, Field(ge=1)] = Field(
        4,
        description="Shadow pictures at the model servers concurrently; further ones are dropped.",
    )

    @field_validator("models")
    @classmethod
    def _check_models(cls, models: str) -> str:
        names = split_names(models)
        for name in names:
            if not re.fullmatch(MODEL_NAME, name):
                raise ValueError(f"{name!r} is not a model name (letters, digits, '.', '_', '-')")
        if len(set(names)) < len(names):
            raise ValueError("a model is listed twice")
        return models

    @field_validator("model_name")
    @classmethod
    def _check_default(cls, name: str, info: ValidationInfo) -> str:
        first, *_ = (*split_names(info.data.get("models", "")), name)
        if name != first:
            raise ValueError(
                f"{PREFIX}MODELS begins with {first!r}, the default; set only one of the two"
            )
        return name

    @field_validator("model_version")
    @classmethod
    def _check_versions(cls, text: str, info: ValidationInfo) -> str:
        if names := _names(info.data):
            versions.versions(text, names)
        return text

    @field_validator("canary", "shadow")
    @classmethod
    def _check_shares(cls, text: str, info: ValidationInfo) -> str:
        names = _names(info.data)
        if names and "model_version" in info.data:  # else their own errors are enough
            pinned = versions.versions(info.data["model_version"], names)
            for model, share in versions.shares(text, names).items():
                if model not in pinned:
                    raise ValueError(
                        f"needs {PREFIX}MODEL_VERSION for {model!r}: without it the other requests"
                        " go to the newest version, which may be this one"
                    )
                if pinned[model] == share.version:
                    raise ValueError(f"{share.version!r} is also {PREFIX}MODEL_VERSION")
        return text

    @property
    def model_names(self) -> tuple[str, ...]:
        """At least one; the first is the default."""
        return split_names(self.models) or (self.model_name,)

    @property
    def model_versions(self) -> dict[str, str]:
        """The version of each model that has one set."""
        return versions.versions(self.model_version, self.model_names)

    @property
    def canaries(self) -> dict[str, versions.Share]:
        """The canary of each model that has one."""
        return versions.shares(self.canary, self.model_names)

    @property
    def shadows(self) -> dict[str, versions.Share]:
        """The shadow version of each model that has one."""
        return versions.shares(self.shadow, self.model_names)
