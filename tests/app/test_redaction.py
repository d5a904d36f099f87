"""What the configuration keeps secret is in no text that leaves a process."""

import logging
from urllib.parse import quote

import msgspec
import pytest

from app.config.file import parse
from app.config.settings import MASK, SECRET_KEYS, Config
from app.redaction import Redactor
from cluster.host.logs import Json, Line, Queued
from cluster.host.logwriter import Writer
from tests.rig.wait import until

SECRET = "hunter2hunter2hunter2hunter2hunter2"
ODD = "p@s/s w'o\"r\\d%#é"
RAW = {
    "SqlSettings": {
        "DataSource": f"postgres://mm:{quote(ODD, safe='')}@db/mm?sslmode=verify-full",
        "DataSourceReplicas": ["host=a password=replica-pw"],
    },
    "ClusterSettings": {"Secret": SECRET, "SecretNext": SECRET[::-1], "Enable": True},
}
CONFIG = parse(RAW, "config.json", {}).config
SECRETS = (SECRET, SECRET[::-1], ODD, quote(ODD, safe=""), "replica-pw", repr(ODD)[1:-1])


@pytest.fixture
def redactor() -> Redactor:
    found = Redactor()
    found.learn(CONFIG)
    return found


def test_every_secret_key_is_learnt() -> None:
    """Walks all keys, so that a new one is learnt or fails here."""
    for dotted in SECRET_KEYS:
        section, key = dotted.split(".")
        canary = "canary-of-this-key"
        text = f"host=x password={canary}" if section == "SqlSettings" else canary
        fields = {one.encode_name: one for one in msgspec.structs.fields(Config)}
        own = {one.encode_name: one.name for one in msgspec.structs.fields(fields[section].type)}
        value: object = [text] if key == "DataSourceReplicas" else text
        settings = msgspec.structs.replace(getattr(Config(), fields[section].name), **{own[key]: value})
        config = msgspec.structs.replace(Config(), **{fields[section].name: settings})
        redactor = Redactor()
        redactor.learn(config)
        assert redactor.text(f"x{canary}x") == f"x{MASK}x", dotted
        assert canary not in repr(config), dotted


@pytest.mark.parametrize("secret", SECRETS)
def test_texts_and_answers_lose_them(redactor: Redactor, secret: str) -> None:
    assert redactor.text(f"a {secret} b {secret}") == f"a {MASK} b {MASK}"
    assert redactor.value({"a": [{"b": f"x{secret}"}, (secret,)], "n": 1, "none": None}) == {
        "a": [{"b": f"x{MASK}"}, [MASK]],
        "n": 1,
        "none": None,
    }


def test_what_was_replaced_stays_secret_and_what_came_is(redactor: Redactor) -> None:
    redactor.learn(Config())
    redactor.learn_source("mysql", "mm:newest@tcp(db)/mm")
    assert redactor.text(f"{SECRET} newest") == f"{MASK} {MASK}"


class _Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.said = b""

    def write(self, data: bytes) -> tuple[int, OSError | None]:
        self.said += data
        return len(data), None

    def close(self) -> None:
        pass


@pytest.mark.parametrize("form", [Line, Json])
def test_no_line_of_the_log_holds_one_wherever_it_was_put(redactor: Redactor, form: type[Line] | type[Json]) -> None:
    sink = _Kept()
    handler = Queued(Writer("kept", sink, lambda _lost, _why: ""), form("api0"), "DEBUG", redactor)
    for secret in SECRETS:
        try:
            raise ValueError(f"no {secret}")
        except ValueError as error:
            exc_info = (type(error), error, error.__traceback__)
            record = logging.LogRecord("x", logging.INFO, "f", 1, "said %s", (secret,), exc_info)
            record.reason = f"not {secret}"
            handler.emit(record)
    handler.emit(logging.LogRecord("x", logging.INFO, "f", 1, "%d", ("not a number",), None))
    until(lambda: b"cannot be formatted" in sink.said, what="the last line")
    handler.writer.close()
    for secret in SECRETS:
        assert secret not in sink.said.decode()
    assert MASK in sink.said.decode()
