"""What is shown of a sidebar, and what changes make of it: a channel that one is in is seen once, whatever was done."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app import sidebar
from app.sidebar import Categories, Kind
from db.model.entities import ChannelInfo, SidebarCategory
from db.model.ids import ChannelId, TeamId, UserId

ANN, TEAM = UserId("a" * 26), TeamId("t" * 26)
NAMES = ("open", "private", "other", "direct", "group", "archived")
TYPES = {"open": "O", "private": "P", "other": "O", "direct": "D", "group": "G", "archived": "O"}


def _channel(name: str) -> ChannelInfo:
    of_team = TEAM if TYPES[name] in "OP" else TeamId("")
    deleted = int(name == "archived")
    return ChannelInfo(ChannelId(name), 1, 1, deleted, of_team, TYPES[name], name, name, "", "", "", 0)


CHANNELS = [_channel(name) for name in NAMES]
LIVING = {name for name in NAMES if name != "archived"}


def _defaults(*favorites: str) -> list[SidebarCategory]:
    return sidebar.defaults(ANN, TEAM, [ChannelId(one) for one in favorites])


def _custom(category_id: str, *held: str) -> SidebarCategory:
    bare = SidebarCategory(ANN, TEAM, category_id, 0, "custom", "", category_id, False, False, "[]")
    return sidebar.holding(bare, held)


def _seen(categories: Categories, channels: Sequence[ChannelInfo] = CHANNELS) -> dict[str, list[str]]:
    return {one.id.split("_a")[0]: [*ids] for one, ids in sidebar.shown(categories, channels)}


def test_the_defaults_are_mattermosts() -> None:
    found = _defaults("other")
    assert [one.id for one in found] == [
        f"favorites_{ANN}_{TEAM}", f"channels_{ANN}_{TEAM}", f"direct_messages_{ANN}_{TEAM}",
    ]  # fmt: skip
    assert [(one.display_name, one.sorting, one.sort_order) for one in found] == [
        ("Favorites", "", 0), ("Channels", "", 10), ("Direct Messages", "recent", 20),
    ]  # fmt: skip
    assert _seen(found) == {
        "favorites": ["other"], "channels": ["open", "private"], "direct_messages": ["direct", "group"],
    }  # fmt: skip


def test_a_channel_that_was_left_or_archived_is_not_seen_and_comes_back_where_it_was() -> None:
    categories = sidebar.with_new(_defaults(), _custom("mine", "private", "archived"))
    assert _seen(categories)["mine"] == ["private"]
    assert _seen(categories, CHANNELS[:1]) == {"favorites": [], "mine": [], "channels": ["open"], "direct_messages": []}
    unarchived = [replace(one, delete_at=0) for one in CHANNELS]
    assert _seen(categories, unarchived)["mine"] == ["private", "archived"]


def test_a_new_category_follows_the_favorites_or_is_the_first() -> None:
    with_one = sidebar.with_new(_defaults("open"), _custom("one", "open", "direct"))
    assert [*_seen(with_one)] == ["favorites", "one", "channels", "direct_messages"]
    assert _seen(with_one)["one"] == ["open", "direct"]
    assert _seen(with_one)["favorites"] == []
    last = sidebar.in_order(with_one, [one.id for one in reversed(with_one)])
    assert last is not None
    assert next(iter(_seen(sidebar.with_new(last, _custom("two"))))) == "two"


def test_an_update_takes_channels_out_of_all_other_categories() -> None:
    before = sidebar.with_new(_defaults("open"), _custom("mine", "private", "direct"))
    direct = next(one for one in before if one.type == Kind.DIRECT_MESSAGES)
    favorites = next(one for one in before if one.type == Kind.FAVORITES)
    new = {
        direct.id: sidebar.holding(direct, ["direct", "open"]),
        favorites.id: sidebar.holding(favorites, ["private", "open", "nobodys", "open"]),
    }
    after = sidebar.updated(before, new, CHANNELS)
    assert _seen(after) == {
        "favorites": ["private", "open"], "mine": [], "channels": ["other"], "direct_messages": ["direct", "group"],
    }  # fmt: skip


@pytest.mark.parametrize("ids", [["favorites", "channels", "x"], ["channels"] * 2])
def test_an_order_names_categories_once(ids: list[str]) -> None:
    assert sidebar.in_order(_defaults(), [f"{one}_{ANN}_{TEAM}" for one in ids]) is None


def test_what_an_order_does_not_name_comes_last() -> None:
    ordered = sidebar.in_order(sidebar.with_new(_defaults(), _custom("made meanwhile")), [f"channels_{ANN}_{TEAM}"])
    assert ordered is not None
    assert [*_seen(ordered)] == ["channels", "favorites", "made meanwhile", "direct_messages"]
    assert [one.sort_order for one in ordered] == [0, 10, 20, 30]


def test_favorites_are_put_first_and_once() -> None:
    categories = sidebar.with_new(_defaults("open"), _custom("mine", "private"))
    after = sidebar.favored(categories, ChannelId("private"), yes=True)
    assert _seen(after)["favorites"] == ["private", "open"]
    assert _seen(after)["mine"] == []
    assert sidebar.favored(after, ChannelId("private"), yes=True) == after
    assert _seen(sidebar.favored(after, ChannelId("open"), yes=False))["favorites"] == ["private"]


def test_what_comes_into_a_muted_category_is_muted_and_what_leaves_one_is_not() -> None:
    before = sidebar.with_new(_defaults(), replace(_custom("mine", "private"), muted=True))
    shown = sidebar.shown(before, CHANNELS)
    moved = sidebar.updated(before, {"mine": sidebar.holding(before[1], ["open"])}, CHANNELS)
    assert sidebar.muted(shown, sidebar.shown(moved, CHANNELS)) == {"open": True, "private": False}
    heard = sidebar.updated(before, {"mine": replace(before[1], muted=False)}, CHANNELS)
    assert sidebar.muted(shown, sidebar.shown(heard, CHANNELS)) == {"private": False}


_some = st.lists(st.sampled_from([*NAMES, "left"]), max_size=5)
_changes = st.one_of(
    st.tuples(st.just("new"), _some),
    st.tuples(st.just("update"), st.integers(0, 5), _some, st.integers(0, 5), _some),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("favor"), st.sampled_from(NAMES), st.booleans()),
)


@given(st.lists(_changes, max_size=8))
def test_every_living_channel_is_seen_exactly_once(changes: list[tuple[object, ...]]) -> None:
    categories: Categories = _defaults("open")
    for number, change in enumerate(changes):
        match change:
            case ("new", list(held)):
                categories = sidebar.with_new(categories, _custom(f"c{number}", *held))
            case ("update", int(a), list(first), int(b), list(second)):
                chosen = [categories[a % len(categories)], categories[b % len(categories)]]
                new = {one.id: sidebar.holding(one, held) for one, held in zip(chosen, (first, second), strict=True)}
                categories = sidebar.updated(categories, new, CHANNELS)
            case ("delete", int(place)):
                one = categories[place % len(categories)]
                categories = sidebar.without(categories, one.id) if one.type == Kind.CUSTOM else categories
            case ("favor", str(name), bool(yes)):
                categories = sidebar.favored(categories, ChannelId(name), yes=yes)
        seen = [channel_id for ids in _seen(categories).values() for channel_id in ids]
        assert sorted(seen) == sorted(LIVING), change
        assert len({one.id for one in categories}) == len(categories)
