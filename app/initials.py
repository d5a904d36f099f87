"""The pictures of users who have none of their own: the first letter of the name, on a colour of the user.

    user ─> (letter, colour) ─> kept bytes, or drawn by Pillow in a thread (`app/workpool.py`) ─> PNG, 128 by 128

There are a few hundred of them altogether, whoever the users are, so nearly all requests find theirs.
"""

import asyncio
import io
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final
from zlib import crc32

from PIL import Image, ImageDraw, ImageFont

from db.model.entities import User

SIZE: Final = 128
_LETTER_SIZE: Final = 72
LOOKS: Final = "1"
"""Part of each ETag: another one when pictures look otherwise."""
_COLOURS: Final = (
    "#1b6ca8", "#2a7f62", "#3f51a5", "#4a6b2a", "#5a4fcf", "#6a3d9a", "#7a5c00", "#8a2f5d", "#8f4e1d", "#9b2c2c",
    "#a23b72", "#b03a2e", "#00695c", "#00796b", "#0b5394", "#1a5276", "#283593", "#33691e", "#37474f", "#4e342e",
    "#5d4037", "#6d4c41", "#7b1fa2", "#ad1457",
)  # fmt: skip
Look = tuple[str, str]


class Pictures:
    """Those that were drawn, the ones asked for last; `most` of them, of about 1 KiB each."""

    def __init__(self, most: int = 1024) -> None:
        self._most = most
        self._kept: OrderedDict[Look, bytes] = OrderedDict()
        self._drawing: dict[Look, Future[bytes]] = {}

    async def get(self, look: Look, begin: Callable[[Callable[[], bytes]], "Future[bytes]"]) -> bytes:
        """The PNG. begin: does work in a thread and refuses none; each look is drawn once, however many ask."""
        found = self.find(look)
        if found is not None:
            return found
        drawing = self._drawing.get(look)
        if drawing is None:
            drawing = self._drawing[look] = begin(lambda: draw(look))
        try:
            return await asyncio.shield(asyncio.wrap_future(drawing))
        finally:
            if drawing.done():
                self._drawing.pop(look, None)
                if not drawing.cancelled() and drawing.exception() is None:  # also for who does not wait any more
                    self.keep(look, drawing.result())

    def find(self, look: Look) -> bytes | None:
        """The PNG, if it is there."""
        found = self._kept.get(look)
        if found is not None:
            self._kept.move_to_end(look)
        return found

    def keep(self, look: Look, png: bytes) -> bytes:
        """Remember it."""
        self._kept[look] = png
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return png


def look_of(user: User) -> Look:
    """Letter and colour: the same on every node."""
    return user.username[:1].upper(), _COLOURS[crc32(user.id.encode()) % len(_COLOURS)]


def draw(look: Look) -> bytes:
    """The PNG. The letters are Pillow's own (Aileron, which is in the public domain)."""
    letter, colour = look
    image = Image.new("RGB", (SIZE, SIZE), colour)
    font = ImageFont.load_default(_LETTER_SIZE)
    ImageDraw.Draw(image).text((SIZE // 2, SIZE // 2), letter, fill="white", font=font, anchor="mm")
    stored = io.BytesIO()
    image.save(stored, "PNG")
    return stored.getvalue()
