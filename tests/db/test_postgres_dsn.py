"""PostgreSQL's connection strings: no server needed."""

import random
import string
from urllib.parse import quote

import pytest
from psycopg.conninfo import make_conninfo

from db.drivers.postgres import connect_arguments
from db.drivers.postgres_dsn import parse
from db.model.errors import Unavailable
from db.model.settings import PoolSettings
from tests.rig.scale import for_each_seed, scale


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", {}),
        ("host=db dbname=mm", {"host": "db", "dbname": "mm"}),
        (" host = db\n dbname='m m' ", {"host": "db", "dbname": "m m"}),
        (r"password='it\'s \\' host=db", {"password": r"it's " + "\\", "host": "db"}),
        (r"password=a\ b'c host=db", {"password": "a b'c", "host": "db"}),
        ("password= host=db", {"password": "host=db"}),  # as libpq reads it
        ("postgres:///mm?host=/run/postgresql", {"dbname": "mm", "host": "/run/postgresql"}),
        (
            "postgres://mm:p%40ss%3F@db:5433/mm?sslmode=disable&connect_timeout=10",
            {"user": "mm", "password": "p@ss?", "host": "db", "port": "5433", "dbname": "mm", "sslmode": "disable",
             "connect_timeout": "10"},
        ),
        ("postgres://mm:a?b=c@db/mm", {"user": "mm", "password": "a?b=c", "host": "db", "dbname": "mm"}),
        ("postgresql://db1:1,[::1]:2/mm", {"host": "db1,::1", "port": "1,2", "dbname": "mm"}),
        ("postgres://db/mm?ssl=true", {"host": "db", "dbname": "mm", "sslmode": "require"}),
    ],
)  # fmt: skip
def test_connection_strings(text: str, said: dict[str, str]) -> None:
    assert parse(text) == said


def test_mattermosts_own_default_is_taken() -> None:
    text = (
        "postgres://mmuser:mostest@localhost/mattermost_test?sslmode=disable&connect_timeout=10&binary_parameters=yes"
    )
    assert parse(text) == {
        "user": "mmuser", "password": "mostest", "host": "localhost", "dbname": "mattermost_test", "sslmode": "disable",
        "connect_timeout": "10",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["binary_parameters", "disable_prepared_binary_result", "krbspn"])
def test_what_only_lib_pq_knows_is_dropped(key: str) -> None:
    assert parse(f"postgres://db/mm?{key}=yes") == {"host": "db", "dbname": "mm"}
    assert parse(f"host=db {key}=yes dbname=mm") == {"host": "db", "dbname": "mm"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgres://db/mm?search_path=mm", {"search_path": "mm"}),
        ("host=db search_path=mm", {"search_path": "mm"}),
        (
            "postgres://db/mm?search_path=mm,public&statement_timeout=5s",
            {"search_path": "mm,public", "statement_timeout": "5s"},
        ),
        ("host=db search_path='\"m m\", public'", {"search_path": '"m m", public'}),
        (r"postgres://db/mm?a.b=x%5Cy", {"a.b": r"x\y"}),
        ("host=db search_path=mm options='-c geqo=off'", {"search_path": "mm"}),
    ],
)  # fmt: skip
def test_other_keys_are_settings_of_the_session(text: str, said: dict[str, str]) -> None:
    arguments, wanted = connect_arguments(text, PoolSettings(dsn=text))
    assert wanted.items() >= said.items()
    assert arguments.keys().isdisjoint(said)
    assert arguments.get("options", "") == ("-c geqo=off" if "geqo" in text else "")


def test_what_the_options_of_the_string_set_is_left_to_them() -> None:
    text = "host=db options='-c statement_timeout=5s --idle-in-transaction-session-timeout=1s -cjit=on'"
    _, wanted = connect_arguments(text, PoolSettings(dsn=text))
    assert wanted.keys().isdisjoint({"statement_timeout", "idle_in_transaction_session_timeout", "jit"})
    assert wanted["timezone"] == "UTC"


SECRET = "hunter2"
NEVER = [
    f"postgres://mm:{SECRET}@db/mm?sslmode=disabled",
    f"host=db password={SECRET} sslmode=on",
    f"postgres://mm:{SECRET}%zz@db/mm",
    f"postgres://mm:{SECRET}%@db/mm",
    f"postgres://mm:{SECRET}@db/mm?application_name=%00",
    f"postgres://mm:{SECRET}@db:port/mm",
    f"postgres://mm:{SECRET}@db:0/mm",
    f"postgres://mm:{SECRET}@db:65536/mm",
    f"postgres://mm:{SECRET}@db1:1,db2:2,db3:3/mm?port=1,2",
    f"host=db port=5432x password={SECRET}",
    f"host=db port=٣ password={SECRET}",
    f"host=db1,db2,db3 port=1,2 password={SECRET}",
    f"postgres://mm:{SECRET}@[::1/mm",
    f"postgres://mm:x/{SECRET}@db/mm",
    f"postgres://mm:{SECRET}@db/mm?connect_timeout=10s",
    f"postgres://mm:{SECRET}@db/mm?connect_timeout={SECRET}",
    f"postgres://mm:{SECRET}@db/mm?{SECRET}",
    f"postgres://mm:{SECRET}@db/mm?a-b=c",
    f"postgres://mm:{SECRET}@db/mm?target_session_attrs=master",
    f"mm:{SECRET}@tcp(db:3306)/mm?charset=utf8mb4",
    f"mm:{SECRET}@tcp(db:3306)/mm",
    f"mysql://mm:{SECRET}@db/mm",
    f"host=db password='{SECRET}",
    f"host=db password='{SECRET}'x",
    f"host=db {SECRET}",
    f"{SECRET}",
    f"host=db\0 password={SECRET}",
]


@pytest.mark.parametrize("number", range(len(NEVER)))
def test_what_can_never_work_is_refused_without_showing_it(number: int) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(NEVER[number])
    assert SECRET not in str(caught.value)
    with pytest.raises(Unavailable) as at_work:
        connect_arguments(NEVER[number], PoolSettings(dsn=NEVER[number]))
    assert SECRET not in f"{at_work.value}"


def test_every_password_comes_back_from_each_form() -> None:
    def simulate(rng: random.Random) -> None:
        letters = string.ascii_letters + string.digits + "%@:/?#&= '\"\\ä\U0001f600()[]+"
        password = "".join(rng.choices(letters, k=rng.randrange(1, 20)))
        url = f"postgres://mm:{quote(password, safe='')}@db:5432/mm?sslmode=disable&search_path=mm"
        pairs = make_conninfo(user="mm", password=password, host="db", port="5432", dbname="mm", sslmode="disable")
        assert parse(url) == parse(f"{pairs} search_path=mm")
        assert parse(url)["password"] == password

    for_each_seed(scale(300, 20_000), simulate)
