"""What people say of themselves for a while ("In a meeting"), as Mattermost keeps it: texts of JSON.

    users.props.customStatus                          {"emoji", "text", "duration", "expires_at"}, '' for none
    preference custom_status, recent_custom_statuses  a list of those, the last one first, at most 5

Without I/O; `app/statuses.py` has the verbs. What has expired is not shown (`shown`), and a job clears it.
"""

import time
from datetime import UTC, datetime

import msgspec

from app import validate

CURRENT = "customStatus"
RECENT = "custom_status", "recent_custom_statuses"
"""Category and name of the preference."""
MAX_RECENT = 5
MAX_TEXT = 100
NEVER = "0001-01-01T00:00:00Z"
"""Go's time of nothing: it stays."""
_DURATIONS = frozenset({"thirty_minutes", "one_hour", "four_hours", "today", "this_week", "date_and_time"})
_EXPIRES = '\\"expires_at'
"""Of a text of JSON within JSON: nearly no props have it."""
Texts = dict[str, str]


class CustomStatus(msgspec.Struct, kw_only=True):
    """PUT /users/{user_id}/status/custom. expires_at: RFC 3339. duration: what the user chose; '' for ever."""

    emoji: str = ""
    text: str = ""
    duration: str = ""
    expires_at: str = ""


def normal(given: CustomStatus, now_ms: int) -> CustomStatus | None:
    """As it is stored; None for one that is none, as Mattermost judges."""
    if not (given.emoji or given.text) or (given.emoji and not validate.is_emoji_name(given.emoji)):
        return None
    ends_at = end_ms(given.expires_at)
    if ends_at is None or given.duration not in _DURATIONS | {""}:
        return None
    if ends_at == 0:
        if given.duration:
            return None
    elif ends_at <= now_ms:
        return None
    return CustomStatus(
        emoji=given.emoji or "speech_balloon",
        text=given.text[:MAX_TEXT],
        duration=given.duration or ("date_and_time" if ends_at else ""),
        expires_at=given.expires_at if ends_at else NEVER,
    )


def end_ms(expires_at: str) -> int | None:
    """Milliseconds since 1970; 0: never; None: no time."""
    if not expires_at:
        return 0
    try:
        at = datetime.fromisoformat(expires_at)
    except ValueError:
        return None
    if "T" not in expires_at.upper() or at.tzinfo is None:
        return None
    return 0 if at.year == 1 else max(1, int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000))


def with_current(props: Texts, status: CustomStatus) -> Texts:
    """The props with this status."""
    return {**props, CURRENT: encode(status)}


def without_current(props: Texts) -> Texts:
    """The props with no status."""
    return {**props, CURRENT: ""} if props.get(CURRENT) else props


def recent(stored: str) -> list[CustomStatus]:
    """Those of the preference; none where what clients stored there is no list of them."""
    try:
        return msgspec.json.decode(stored or "[]", type=list[CustomStatus])
    except (msgspec.MsgspecError, RecursionError):
        return []


def with_recent(stored: str, status: CustomStatus) -> str:
    """The preference with this one first."""
    others = [one for one in recent(stored) if (one.emoji, one.text) != (status.emoji, status.text)]
    return encode([status, *others][:MAX_RECENT])


def without_recent(stored: str, status: CustomStatus) -> str | None:
    """The preference without this one; None where it is not there."""
    before = recent(stored)
    gone = (status.emoji, status.text, status.duration)
    kept = [one for one in before if (one.emoji, one.text, one.duration) != gone]
    return encode(kept) if len(kept) < len(before) else None


def ends_at_ms(props: str) -> int:
    """When the status in the props (JSON) ends; 0: it does not, or there is none."""
    if _EXPIRES not in props:
        return 0
    try:
        text = msgspec.json.decode(msgspec.json.decode(props, type=dict[str, msgspec.Raw])[CURRENT], type=str)
        return end_ms(msgspec.json.decode(text, type=CustomStatus).expires_at) or 0
    except (msgspec.MsgspecError, KeyError):  # clients may store what they like there
        return 0


def has_ended(props: Texts, now_ms: int) -> bool:
    """Whether there is a status, and its time is over."""
    return 0 < ends_at_ms(encode(props)) <= now_ms


def shown(props: str) -> str:
    """The props (JSON) as they are shown: without a status that has expired."""
    if _EXPIRES not in props:
        return props
    ends_at = ends_at_ms(props)
    if not ends_at or ends_at > time.time() * 1000:
        return props
    return msgspec.json.encode({**msgspec.json.decode(props), CURRENT: ""}).decode()


def encode(value: object) -> str:
    """JSON as it stands there."""
    return msgspec.json.encode(value).decode()
