"""The WebSocket events, each declared once: its name, whom it is for, and what becomes of it when it is lost."""

from enum import Enum, StrEnum, unique


class Room(StrEnum):
    """Whom an event is for."""

    CHANNEL = "the members of a channel"
    TEAM = "the members of a team"
    USER = "the clients of one user"
    EVERYBODY = "everybody"


class Care(Enum):
    """What becomes of an event on its way."""

    RECOVERABLE = "has a number in its channel, is stored, and told again (`app/events/kinds.py`)"
    RELIABLE = "clients that may have lost it fetch anew"
    BEST_EFFORT = "shed first when a client is slow, and never repaired"


@unique
class Name(StrEnum):
    """An event of Mattermost. rooms: for whom it may be, and with what care there."""

    rooms: dict[Room, Care]

    def __new__(cls, name: str, rooms: dict[Room, Care]) -> "Name":
        """A member: its value is the name alone."""
        self = str.__new__(cls, name)
        self._value_ = name
        self.rooms = rooms
        return self

    POSTED = "posted", {Room.CHANNEL: Care.RECOVERABLE}
    POST_EDITED = "post_edited", {Room.CHANNEL: Care.RECOVERABLE}
    POST_DELETED = "post_deleted", {Room.CHANNEL: Care.RECOVERABLE}
    POST_UNREAD = "post_unread", {Room.USER: Care.RELIABLE}
    EPHEMERAL_MESSAGE = "ephemeral_message", {Room.USER: Care.RELIABLE}
    REACTION_ADDED = "reaction_added", {Room.CHANNEL: Care.RECOVERABLE}
    REACTION_REMOVED = "reaction_removed", {Room.CHANNEL: Care.RECOVERABLE}
    USER_ADDED = "user_added", {Room.CHANNEL: Care.RECOVERABLE}
    USER_REMOVED = "user_removed", {Room.CHANNEL: Care.RECOVERABLE, Room.USER: Care.RELIABLE}
    CHANNEL_CREATED = "channel_created", {Room.USER: Care.RELIABLE}
    DIRECT_ADDED = "direct_added", {Room.CHANNEL: Care.RELIABLE}
    CHANNEL_MEMBER_UPDATED = "channel_member_updated", {Room.USER: Care.RELIABLE}
    CHANNEL_VIEWED = "channel_viewed", {Room.USER: Care.BEST_EFFORT}
    MULTIPLE_CHANNELS_VIEWED = "multiple_channels_viewed", {Room.USER: Care.BEST_EFFORT}
    TYPING = "typing", {Room.CHANNEL: Care.BEST_EFFORT}
    ADDED_TO_TEAM = "added_to_team", {Room.USER: Care.RELIABLE}
    LEAVE_TEAM = "leave_team", {Room.TEAM: Care.RELIABLE, Room.USER: Care.RELIABLE}
    UPDATE_TEAM = "update_team", {Room.TEAM: Care.RELIABLE}
    DELETE_TEAM = "delete_team", {Room.TEAM: Care.RELIABLE}
    RESTORE_TEAM = "restore_team", {Room.TEAM: Care.RELIABLE}
    MEMBERROLE_UPDATED = "memberrole_updated", {Room.USER: Care.RELIABLE}
    NEW_USER = "new_user", {Room.EVERYBODY: Care.RELIABLE}
    USER_UPDATED = "user_updated", {Room.EVERYBODY: Care.RELIABLE, Room.USER: Care.RELIABLE}
    USER_ROLE_UPDATED = "user_role_updated", {Room.USER: Care.RELIABLE}
    USER_ACTIVATION_STATUS_CHANGE = "user_activation_status_change", {Room.EVERYBODY: Care.RELIABLE}
    STATUS_CHANGE = "status_change", {Room.USER: Care.BEST_EFFORT}
    PREFERENCES_CHANGED = "preferences_changed", {Room.USER: Care.RELIABLE}
    PREFERENCES_DELETED = "preferences_deleted", {Room.USER: Care.RELIABLE}
    SIDEBAR_CATEGORY_CREATED = "sidebar_category_created", {Room.USER: Care.RELIABLE}
    SIDEBAR_CATEGORY_UPDATED = "sidebar_category_updated", {Room.USER: Care.RELIABLE}
    SIDEBAR_CATEGORY_DELETED = "sidebar_category_deleted", {Room.USER: Care.RELIABLE}
    SIDEBAR_CATEGORY_ORDER_UPDATED = "sidebar_category_order_updated", {Room.USER: Care.RELIABLE}
    HELLO = "hello", {Room.USER: Care.RELIABLE}


SCOPED = frozenset({Name.TYPING.value, Name.REACTION_ADDED.value, Name.REACTION_REMOVED.value})
"""Those that a client which says where it looks gets from there only (action `presence`)."""
BEST_EFFORT = frozenset(one.value for one in Name if set(one.rooms.values()) == {Care.BEST_EFFORT})
"""By name, as it comes over the bus: what a later version sends is not shed unless this one knows that it may be."""
