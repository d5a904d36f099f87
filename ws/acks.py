"""Posts of which the mentioned are asked to say that they were notified: to clients that offered it (`posted_ack`)."""

import re

import msgspec

from app.events.messages import Event
from app.events.names import Name

_MENTIONED = re.compile(rb'"mentions":"(\[[^]]*\])"')
_DATA = b'"data":{'


def asking(event: Event) -> tuple[Event, bytes]:
    """A new post with `should_ack`, and the ids of who is to get it so, one after the other; b'' where nobody is.

    In texts of the post quotation marks are escaped: nobody can write the member that is looked for.
    """
    found = _MENTIONED.search(event.frame) if event.name == Name.POSTED else None
    if found is None:
        return event, b""
    frame = event.frame.replace(_DATA, _DATA + b'"should_ack":true,', 1)
    return msgspec.structs.replace(event, frame=frame), found[1]
