"""No secret of the configuration in what a process says: its log, its answers to operators.

Texts are made so that they hold none (`db/pool/dsn.py`); this is what stands behind that, at the doors through which
every text leaves: the formatting of a log record, standard error, and the supervisor's answers.
"""

from typing import Any

import msgspec

from app.config.settings import MASK, SECRET_KEYS, Config
from db.pool.dsn import forms, secrets_of


class Redactor:
    """What a process knows to be secret. It only learns: a password that was replaced may still be somebody's."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def learn(self, config: Config) -> None:
        """The secrets of a configuration."""
        driver = config.sql_settings.driver_name
        for section in msgspec.structs.fields(Config):
            values = getattr(config, section.name)
            for one in msgspec.structs.fields(section.type):
                if f"{section.encode_name}.{one.encode_name}" in SECRET_KEYS:
                    value = getattr(values, one.name)
                    for text in value if isinstance(value, list) else [value]:
                        self._add(
                            secrets_of(driver, text) if section.type is type(config.sql_settings) else forms([text])
                        )

    def learn_source(self, driver: str, dsn: str) -> None:
        """Those of a connection string that is not in the configuration."""
        self._add(secrets_of(driver, dsn))

    def _add(self, secrets: set[str]) -> None:
        self._secrets = tuple(sorted({*self._secrets, *secrets}, key=len, reverse=True))  # what holds another one first

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with every secret in its texts masked; the names in objects are ours, and stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        return [self.value(one) for one in value] if isinstance(value, list | tuple) else value
