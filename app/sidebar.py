"""The categories of a user's sidebar in a team, as values: what is shown of them, and what each change makes of them.

Rows are there once the user has changed something (decision 0046); `defaults` are what everybody has before. A channel
is in one category at most; those in none are shown in `channels` or `direct_messages`, as in Mattermost. No I/O.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from db.model.entities import ChannelInfo, ChannelType, SidebarCategory
from db.model.ids import ChannelId, TeamId, UserId

SORTINGS = frozenset({"", "manual", "recent", "alpha"})
_STEP = 10
"""Between the places of two categories, as in Mattermost."""
_DIRECT = (ChannelType.DIRECT, ChannelType.GROUP)


class Kind(StrEnum):
    """`SidebarCategory.type`."""

    FAVORITES = "favorites"
    CHANNELS = "channels"
    DIRECT_MESSAGES = "direct_messages"
    CUSTOM = "custom"


Categories = Sequence[SidebarCategory]
"""All of a user in a team, in their order."""
Shown = Sequence[tuple[SidebarCategory, list[ChannelId]]]
"""Categories with the channels that are seen in them."""


def ids_of(category: SidebarCategory) -> list[ChannelId]:
    """The channels that the user has put into it."""
    return msgspec.json.decode(category.channel_ids, type=list[ChannelId])


def holding(category: SidebarCategory, channel_ids: Iterable[str]) -> SidebarCategory:
    """The same with these channels."""
    return replace(category, channel_ids=msgspec.json.encode(list(dict.fromkeys(channel_ids))).decode())


def default_id(kind: Kind, user_id: UserId, team_id: TeamId) -> str:
    """The id of one that everybody has."""
    return f"{kind.value}_{user_id}_{team_id}"


def defaults(user_id: UserId, team_id: TeamId, favorites: Iterable[ChannelId]) -> list[SidebarCategory]:
    """What is there before the user has changed anything. favorites: by their preferences."""

    def one(kind: Kind, name: str, sorting: str = "", channel_ids: Iterable[ChannelId] = ()) -> SidebarCategory:
        bare = SidebarCategory(
            user_id=user_id,
            team_id=team_id,
            id=default_id(kind, user_id, team_id),
            sort_order=0,
            type=kind.value,
            sorting=sorting,
            display_name=name,
            muted=False,
            collapsed=False,
            channel_ids="[]",
        )
        return holding(bare, channel_ids)

    return placed(
        [
            one(Kind.FAVORITES, "Favorites", channel_ids=favorites),
            one(Kind.CHANNELS, "Channels"),
            one(Kind.DIRECT_MESSAGES, "Direct Messages", "recent"),
        ]
    )


def placed(categories: Categories) -> list[SidebarCategory]:
    """The same with their places as `sort_order`."""
    return [replace(one, sort_order=place * _STEP) for place, one in enumerate(categories)]


def shown(categories: Categories, channels: Sequence[ChannelInfo]) -> Shown:
    """What is seen. channels: all that the user is in, of the team and beside it; archived ones are left out."""
    living = {one.id: one for one in channels if not one.delete_at}
    held = {one.id: [channel_id for channel_id in ids_of(one) if channel_id in living] for one in categories}
    somewhere = {channel_id for ids in held.values() for channel_id in ids}
    rest = {
        Kind.DIRECT_MESSAGES: [one.id for one in living.values() if one.type in _DIRECT and one.id not in somewhere],
        Kind.CHANNELS: [one.id for one in living.values() if one.type not in _DIRECT and one.id not in somewhere],
    }
    return [(one, [*rest.get(Kind(one.type), ()), *held[one.id]]) for one in categories]


def with_new(categories: Categories, new: SidebarCategory) -> list[SidebarCategory]:
    """With a category more: behind the favorites where those are the first, else the first of all."""
    at = 1 if categories and categories[0].type == Kind.FAVORITES else 0
    taken_out = _without(categories, ids_of(new))
    return placed([*taken_out[:at], new, *taken_out[at:]])


def without(categories: Categories, category_id: str) -> list[SidebarCategory]:
    """With a category less; its channels are in none then."""
    return placed([one for one in categories if one.id != category_id])


def in_order(categories: Categories, ids: Sequence[str]) -> list[SidebarCategory] | None:
    """In this order, then those that it does not name, such as one that was made meanwhile; None if it is no order."""
    by_id = {one.id: one for one in categories}
    if len(set(ids)) < len(ids) or not by_id.keys() >= set(ids):
        return None
    return placed([*(by_id.pop(one) for one in ids), *by_id.values()])


def updated(
    categories: Categories, new: Mapping[str, SidebarCategory], channels: Sequence[ChannelInfo]
) -> list[SidebarCategory]:
    """With these in the place of those of their ids; what they hold is taken out of all others.

    Nothing is put into `direct_messages`, where all are that are nowhere else: into it means out of the others.
    channels: all that the user is in; what else is named is left out.
    """
    direct = {one.id for one in channels if one.type in _DIRECT}
    mine = {one.id for one in channels}
    goes: dict[str, str] = {}
    for one in new.values():
        of_direct = one.type == Kind.DIRECT_MESSAGES
        goes.update(dict.fromkeys((c for c in ids_of(one) if c in (direct if of_direct else mine)), one.id))
    found = []
    for before in categories:
        after = new.get(before.id, before)
        kept = [] if after.type == Kind.DIRECT_MESSAGES else ids_of(after)
        found.append(holding(after, (c for c in kept if c in mine and goes.get(c, after.id) == after.id)))
    return found


def favored(categories: Categories, channel_id: ChannelId, *, yes: bool) -> list[SidebarCategory]:
    """With the channel as the first of the favorites and in no other category, or not among the favorites."""
    if not yes:
        return [
            holding(one, (c for c in ids_of(one) if c != channel_id)) if one.type == Kind.FAVORITES else one
            for one in categories
        ]
    if any(one.type == Kind.FAVORITES and channel_id in ids_of(one) for one in categories):
        return list(categories)
    return [
        holding(one, [channel_id, *ids_of(one)]) if one.type == Kind.FAVORITES else one
        for one in _without(categories, [channel_id])
    ]


def muted(before: Shown, after: Shown) -> dict[ChannelId, bool]:
    """Channels that came from a category that is muted into one that is not, or the other way: whether they are now."""
    was = {channel_id: one.muted for one, ids in before for channel_id in ids}
    return {
        channel_id: one.muted
        for one, ids in after
        for channel_id in ids
        if channel_id in was and was[channel_id] != one.muted
    }


def favorites_of(categories: Categories) -> set[ChannelId]:
    """What is among the favorites."""
    return {channel_id for one in categories if one.type == Kind.FAVORITES for channel_id in ids_of(one)}


def _without(categories: Categories, channel_ids: Collection[str]) -> list[SidebarCategory]:
    gone = set(channel_ids)
    return [holding(one, (c for c in ids_of(one) if c not in gone)) for one in categories]
