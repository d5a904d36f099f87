"""Close codes (RFC 6455 §7.4.1 and the IANA registry)."""

from enum import IntEnum


class Close(IntEnum):
    """Why the server closes a socket."""

    PROTOCOL_ERROR = 1002
    """The client broke RFC 6455."""
    UNSUPPORTED_DATA = 1003
    """A frame that is no JSON request: binary, malformed or of another shape."""
    POLICY_VIOLATION = 1008
    """Too many frames, or too many sockets of one user."""
    MESSAGE_TOO_BIG = 1009
    """More than 8 KiB."""
    SERVICE_RESTART = 1012
    """This node goes away; another, or it again, will be there."""
    TRY_AGAIN_LATER = 1013
    """The client did not read what it was sent."""
    SESSION_ENDED = 4001
    """The session was revoked or has expired."""
