"""What a user has not read in their teams."""

from app.context import Context
from app.events import messages as events
from app.events import wire
from db.model.ids import ChannelId, TeamId, UserId
from db.sql import channels as channels_db
from db.sql import teamunread
from db.sql.teamunread import Unread


async def of_teams(ctx: Context, user_id: UserId, exclude_team: str) -> list[wire.Json]:
    """Of each team of which the user has channels, but one ('': none)."""
    return [_shown(one) for one in await teamunread.find(ctx.db, user_id) if one.team_id != exclude_team]


async def of_team(ctx: Context, user_id: UserId, team_id: TeamId) -> wire.Json:
    """Of one team."""
    found = await teamunread.find(ctx.db, user_id, team_id)
    return _shown(found[0] if found else Unread(team_id, 0, 0, 0, 0))


def _shown(unread: Unread) -> wire.Json:
    """Threads that one follows are not there yet, so none of them is unread."""
    return {
        "team_id": unread.team_id,
        "msg_count": unread.messages,
        "mention_count": unread.mentions,
        "mention_count_root": unread.mentions_root,
        "msg_count_root": unread.messages_root,
        "thread_count": 0,
        "thread_mention_count": 0,
        "thread_urgent_mention_count": 0,
    }


async def mark_read(ctx: Context, user_id: UserId, team_id: TeamId) -> dict[ChannelId, int]:
    """Mark all channels of the team as read; last viewed times of those in which something was not."""
    unread = await teamunread.find_channel_ids(ctx.db, user_id, team_id)
    if not unread:
        return {}
    times = await channels_db.view(ctx.db, user_id, unread)
    version = ctx.client_config.major_version
    for channel_id in times if version < 7 else list(times)[:1]:  # from 7 on one event tells of all
        ctx.bus.publish(events.channel_viewed(user_id, channel_id, times, version))
    return times
