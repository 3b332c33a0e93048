"""The settings of logging, which the gateway and the embedded model server share."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "DETECT_"

LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)]
LogFormat = Annotated[Literal["json", "text"], BeforeValidator(str.lower)]


class SettingsError(Exception):
    """A setting that cannot be used. The message names the variable and says what it may be."""


class LogSettings(BaseSettings):
    """Read once from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    log_level: LogLevel = Field(
        "info",
        description="Minimum level of log lines: `debug`, `info`, `warning` (5xx responses, lost"
        " model servers) or `error` (bugs).",
    )
    log_format: LogFormat = Field("json", description="`json`, one object per line, or `text`.")

    @classmethod
    def load(cls) -> Self:
        """Raises SettingsError with one line for each variable that cannot be used."""
        try:
            return cls()
        except ValidationError as error:
            lines = (
                f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}"
                for e in error.errors()
            )
            raise SettingsError("\n".join(lines)) from error
