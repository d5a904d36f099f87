"""Connection strings: what they mean, and that nothing that is said of them holds their password or a piece of it."""

import asyncio
import re
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db.drivers import Driver, mysql, postgres, postgres_dsn
from db.model.errors import Unavailable
from db.model.settings import PoolSettings
from db.pool import dsn, place

PIECE = "Hunter"
NASTY = "%@ /#?:&=+'\"\\[](),;~$!zé\t\n%zz%20"
PASSWORDS = [
    f"{PIECE}2{odd}{PIECE}3" for odd in [*NASTY, "%zz", "%2", "%00", "@@", "//", "@h:1/", ":1@", "/?a=", " b=", "') "]
]
PASSWORDS += [f"{odd}{PIECE}4" for odd in NASTY] + [f"{PIECE}5{odd}" for odd in NASTY]


def _strings(password: str) -> Iterator[tuple[str, str]]:
    """(driver, connection string): the password as careless people write it, and as it should be, in all forms."""
    quoted = "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"
    for place_ in (
        "127.0.0.1:1",
        "no.such.host.invalid",
        "127.0.0.1:1,127.0.0.1:2",
        "[::1]:1",
        "127.0.0.1:99999",
        "127.0.0.1:x",
        "",
    ):
        for given_ in (password, quote(password, safe="")):
            yield "postgres", f"postgres://mm:{given_}@{place_}/mm"
            yield "postgres", f"postgresql://mm@{place_}/mm?password={given_}&sslmode=disable"
            yield "postgres", f"postgres://:{given_}@{place_}"
    for given_ in (password, quoted, quote(password, safe="")):
        for place_ in ("host=127.0.0.1 port=1", "host=127.0.0.1 port=99999", "host=a.invalid,b.invalid", "hots=x", ""):
            yield "postgres", f"user=mm password={given_} {place_} dbname=mm"
            yield "postgres", f"{place_} password = {given_}"
    for place_ in (
        "tcp(127.0.0.1:1)",
        "tcp(no.such.host.invalid:3306)",
        "udp(h)",
        "tcp(h",
        "127.0.0.1:1",
        "unix(/no/such)",
        "",
        "tcp(::1)",
    ):
        for tail in ("/mm", "/mm?tls=maybe", "/mm?timeout=x", "/", ""):
            yield "mysql", f"mm:{password}@{place_}{tail}"


def _clean(text: str, dsn_: str) -> None:
    assert PIECE not in text, f"{text!r} of {dsn_!r}"


async def _failure(driver: Driver, text: str) -> str:
    """What is said, with all causes, when a connection is asked for that cannot be made."""
    settings = PoolSettings(text, connect_timeout_s=1.0, driver=driver.name)  # type: ignore[arg-type]
    try:
        await driver.ask(text, settings)
    except Unavailable as error:
        return "".join(traceback.format_exception(error)) + repr(settings)
    raise AssertionError(f"{text!r} leads somewhere")


@pytest.mark.parametrize("password", PASSWORDS)
def test_nothing_that_is_said_of_a_connection_string_holds_its_password(password: str) -> None:
    for driver, text in _strings(password):
        try:
            dsn.judge(driver, text)
        except ValueError as error:
            _clean(str(error), text)
        _clean(place.place_of(driver, text), text)
        _clean(str(place.host_of(driver, text)), text)
        if driver == "postgres":
            try:
                postgres.connect_arguments(text, PoolSettings(text))
            except Unavailable as error:
                _clean("".join(traceback.format_exception(error)), text)
        else:
            try:
                _clean(repr(mysql.read_dsn(text)), text)
            except Unavailable as error:
                _clean("".join(traceback.format_exception(error)), text)
        assert dsn.may_hold_password(text)


async def test_no_failure_to_connect_holds_the_password() -> None:
    """Refused, not resolved, not understood: by the driver's own words, to the last cause."""
    for password in PASSWORDS:
        strings = [one for one in _strings(password) if "invalid" not in one[1] or password == PASSWORDS[0]]
        drivers: dict[str, Driver] = {"postgres": postgres.DRIVER, "mysql": mysql.DRIVER}
        said = await asyncio.gather(
            *(_failure(drivers[driver], text) for driver, text in strings if "99999" not in text)
        )
        for text in said:
            _clean(text, password)


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_what_is_looked_for_is_every_form_of_the_password(kind: str, password: str) -> None:
    text = f"mm:{password}@tcp(db)/mm" if kind == "mysql" else f"postgres://mm:{quote(password, safe='')}@db/mm"
    found = dsn.secrets_of(kind, text)
    assert {password, quote(password, safe="")} <= found
    assert not {"mm", "db"} & found


@pytest.mark.parametrize(
    "text",
    ["postgres://mm@db:5432/mm", "host=db user=mm", "mm@tcp(db:3306)/mm", "postgres://db/mm?sslmode=verify-full", ""],
)
def test_a_connection_string_without_a_password_may_be_an_argument(text: str) -> None:
    assert not dsn.may_hold_password(text)


def test_what_is_no_secret_and_what_is_too_short_to_be_one_is_not_looked_for() -> None:
    assert dsn.secrets_of("postgres", "postgres://mattermost:mattermost@db/mattermost") == set()
    assert dsn.secrets_of("mysql", "mm:short@tcp(db)/mm") == set()
    assert dsn.secrets_of("postgres", "host=/run/postgresql user=mm") == set()


parts = st.text(st.sampled_from("ab1-_.%@ /#?:&='\\"), min_size=1, max_size=8)


@given(
    user=parts, password=parts, database=parts, port=st.integers(1, 65535), mode=st.sampled_from(["disable", "require"])
)
@example(user="a", password="=", database="b", port=1, mode="disable")
def test_what_is_written_by_the_rules_is_read_as_libpq_reads_it(
    user: str, password: str, database: str, port: int, mode: str
) -> None:
    coded = [quote(one, safe="") for one in (user, password, database)]
    url = f"postgres://{coded[0]}:{coded[1]}@h1:{port},[::1]:2/{coded[2]}?sslmode={mode}"
    pairs = make_conninfo(user=user, password=password, dbname=database, port=str(port), sslmode=mode)
    for text in (url, pairs):
        theirs = {key: str(value) for key, value in conninfo_to_dict(text).items()}
        assert postgres_dsn.parse(text) == theirs


@given(st.text(st.sampled_from("ab1@:/?=&%2 ,[]'\\"), max_size=20))
def test_what_is_read_at_all_is_read_as_libpq_reads_it(rest: str) -> None:
    for text in (f"postgres://{rest}", f"host={rest}"):
        try:
            ours = postgres_dsn.parse(text)
        except ValueError:
            continue
        try:
            theirs = conninfo_to_dict(text)
        except ProgrammingError as error:
            assert re.search("invalid (URI query|connection) (parameter|option)", str(error)), (text, str(error))  # noqa: PT017
        else:
            assert ours == {key: str(value) for key, value in theirs.items() if str(value)}, text


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("postgres", "postgres://mm:pw@a:1,b:2/mm?x=1", "a:1,b:2/mm"),
        ("postgres", "postgres://mm:p%40w@[::1]:5432/mm", "[::1]:5432/mm"),
        ("postgres", "host=a,b port=1 dbname=mm password=x", "a:1,b:1/mm"),
        ("postgres", "host=/run/pg dbname=mm", "/run/pg/mm"),
        ("postgres", "postgres://mm:p/w@db/mm", place.NOT_UNDERSTOOD),
        ("mysql", "mm:p@/w@tcp(db:3307)/mm?tls=true", "db:3307/mm"),
        ("mysql", "mm:pw@unix(/run/my.sock)/mm", "/run/my.sock/mm"),
        ("mysql", "nonsense", place.NOT_UNDERSTOOD),
    ],
)  # fmt: skip
def test_places(kind: str, text: str, expected: str) -> None:
    assert place.place_of(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "environment", "expected"),
    [
        ("postgres", "postgres://mm@db/mm", {}, True),
        ("postgres", "postgres://mm@db/mm?sslmode=require", {}, True),
        ("postgres", "postgres://mm@db/mm?sslmode=verify-full", {}, False),
        ("postgres", "postgres://mm@db/mm", {"PGSSLMODE": "verify-full"}, False),
        ("postgres", "dbname=mm", {}, False),
        ("postgres", "dbname=mm", {"PGHOST": "db"}, True),
        ("postgres", "host=localhost,db", {}, True),
        ("postgres", "host=127.0.0.9 hostaddr=::1", {}, False),
        ("postgres", "host=/run/postgresql", {}, False),
        ("mysql", "mm@tcp(db)/mm", {}, True),
        ("mysql", "mm@tcp(db)/mm?tls=skip-verify", {}, True),
        ("mysql", "mm@tcp(db)/mm?tls=true", {}, False),
        ("mysql", "mm@tcp(127.0.0.1)/mm", {}, False),
        ("mysql", "mm@unix(/run/my.sock)/mm", {}, False),
    ],
)
def test_who_is_told_that_nothing_ensures_encryption(
    kind: str, text: str, environment: dict[str, str], expected: bool
) -> None:
    assert dsn.in_the_clear(kind, text, environment) is expected


@pytest.mark.parametrize(
    ("kind", "text", "to", "expected"),
    [
        ("postgres", "postgres://mm:p%40w@a:1/db?sslmode=verify-full", place.Where("b,c", "2,3", "db"),
         "user='mm' password='p@w' host='b,c' port='2,3' dbname='db' sslmode='verify-full'"),
        ("postgres", "hostaddr=10.0.0.1 user=mm password='it\\'s \\\\ so' dbname=db", place.Where("/run/pg", "5432", "other"),
         "user='mm' password='it\\'s \\\\ so' dbname='other' host='/run/pg' port='5432'"),
        ("mysql", "mm:p@/w:x@tcp(a:1)/db?tls=true", place.Where("::1", "3307", "db"), "mm:p@/w:x@tcp([::1]:3307)/db?tls=true"),
        ("mysql", "mm:pw@tcp(a:1)/db", place.Where("/run/my.sock", "", "db"), "mm:pw@unix(/run/my.sock)/db"),
    ],
)  # fmt: skip
def test_a_string_is_moved_to_other_servers_with_its_own_credentials(
    kind: str, text: str, to: place.Where, expected: str
) -> None:
    changed = place.moved(kind, text, to)
    assert place.where(kind, changed) == to
    if kind == "postgres":
        assert postgres_dsn.read(changed) == postgres_dsn.read(expected)
    else:
        assert changed == expected


@pytest.mark.parametrize("host", ["a' user='root", "a) user=x", "a)/evil?x=(", "h b"])
@pytest.mark.parametrize(
    ("kind", "text"), [("postgres", "host=a user=mm password=pw dbname=db"), ("mysql", "mm:pw@tcp(a:1)/db")]
)
def test_a_place_that_a_peer_tells_changes_nothing_but_the_place(kind: str, text: str, host: str) -> None:
    try:
        changed = place.moved(kind, text, place.Where(host, "5", "db"))
    except ValueError:
        return
    assert kind == "postgres"
    said = postgres_dsn.read(changed)
    assert (said["user"], said["password"], said["host"]) == ("mm", "pw", host)
