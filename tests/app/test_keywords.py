"""Words by which users are mentioned: how they are found in a message, and what users say of them in `notify_props`."""

import time

import msgspec
import pytest

from app.keywords import Keywords, among, gathered
from app.mentioned import wants_everybody
from db.model import limits
from db.sql import mentionkeys
from tests.db.people import user

KEYS = gathered(["build", "Ann", "@ops", "c.e.o", "foo_bar", "ünïcode", "北京", "xy"])


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("the build is red", {"build"}),
        ("Build!", {"build"}),
        ("(BUILD)", {"build"}),
        ("_build_ **build** ~~build~~", {"build"}),
        ("build: done", {"build"}),
        ("it is done.build it", {"build"}),
        ("rebuild builds build2", set()),
        (":build: is an emoji", set()),
        ("`build` is code\n\n    build", set()),
        ("[see](http://build/build) there", set()),
        ("[build](http://x) there", {"build"}),
        ("Ann is a name", {"Ann"}),
        ("ann and ANN are others", set()),
        ("ask @OPS, please", {"@ops"}),
        ("ops are not @ops2", set()),
        ("the C.E.O. said", {"c.e.o"}),
        ("foo_bar and foo\\_bar", {"foo_bar"}),
        ("ÜNÏCODE", {"ünïcode"}),
        ("我在北京工作", {"北京"}),
        ("in 北 and 京", set()),
        ("", set()),
    ],
)
def test_a_key_is_a_word_of_its_own(message: str, found: set[str]) -> None:
    assert among(KEYS, message) == found


def test_without_keys_nothing_is_looked_at() -> None:
    assert among(Keywords(), "the build is red") == set()


def test_where_there_are_too_many_any_word_may_be_one() -> None:
    many = gathered(str(one) for one in range(limits.KEYWORDS + 1))
    assert not many.complete
    assert {"build", "Build"} <= among(many, "the Build")
    assert len(among(many, " ".join(map(str, range(16_000))))) == 1000


def test_the_longest_message_takes_little_time() -> None:
    keys = gathered(["北京", "上海人", "x" * 20, *map(str, range(1000))])
    for message in ("北" * 16_000, ".a" * 8_000, "a-" * 8_000, ":" * 16_000, "@._" * 5_000, "word " * 3_000):
        begin = time.thread_time()
        among(keys, message)
        assert time.thread_time() - begin < 0.5, message[:10]


def _of(name: str = "", /, **props: str) -> set[tuple[str, str]]:
    text = msgspec.json.encode(props).decode()
    return mentionkeys.of(msgspec.structs.replace(user("ann"), first_name=name, notify_props=text))


def test_keys_are_what_a_user_says() -> None:
    assert _of() == set()
    assert _of(mention_keys="") == set()
    assert _of(mention_keys=" Build,,build,two words, @Ops") == {("words", "build"), ("words", "@ops")}
    assert _of("Ann", first_name="true") == {("words", "Ann")}
    assert _of("Ann", first_name="false") == set()
    assert _of("", first_name="true") == set()
    assert _of(comments="any") == {("replies", "any")}
    assert _of(comments="root", mention_keys="x") == {("replies", "root"), ("words", "x")}
    assert _of(comments="never") == set()
    assert _of(mention_keys="x" * 65) == set()
    assert len(_of(mention_keys=",".join(map(str, range(1000))))) == limits.USER_KEYWORDS
    for bad in ("", "[]", '{"mention_keys": 1}', "{"):
        assert mentionkeys.of(msgspec.structs.replace(user("ann"), notify_props=bad)) == set()


@pytest.mark.parametrize(
    ("of_user", "of_member", "wants"),
    [
        ("{}", "{}", True),
        ('{"channel":"true"}', '{"ignore_channel_mentions":"off"}', True),
        ('{"channel":"false"}', "{}", False),
        ("{}", '{"ignore_channel_mentions":"on"}', False),
        ("{}", '{"mark_unread":"mention"}', False),
        ("{}", '{"mark_unread":"mention","ignore_channel_mentions":"off"}', True),
        ("{}", '{"mark_unread":"all","ignore_channel_mentions":"default"}', True),
        ("no JSON", "{}", True),
    ],
)
def test_who_wants_to_hear_what_is_said_to_all(of_user: str, of_member: str, wants: bool) -> None:
    assert wants_everybody(of_user, of_member) == wants
