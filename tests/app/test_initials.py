"""Pictures of users who have none: the same on every node, drawn once, a bounded number of them kept."""

import asyncio
import io
from typing import Any

from msgspec.structs import replace
from PIL import Image

from app import initials
from app.workpool import WorkPool
from tests.db.people import user


def test_a_picture_is_a_png_of_128_by_128_in_the_colour_of_the_user() -> None:
    letter, colour = initials.look_of(replace(user("x"), username="zoe"))
    assert letter == "Z"
    picture = Image.open(io.BytesIO(initials.draw((letter, colour))))
    assert (picture.format, picture.size) == ("PNG", (initials.SIZE, initials.SIZE))
    corner = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    assert picture.getpixel((0, 0)) == corner
    assert len(set(picture.get_flattened_data())) > 2


def test_the_look_depends_on_id_and_name_alone() -> None:
    someone = user("ann")
    assert initials.look_of(someone) == initials.look_of(replace(someone, nickname="Zoe", update_at=9))
    assert initials.look_of(replace(someone, username="bob"))[0] == "B"
    assert len({initials.look_of(user("a"))[1] for _ in range(200)}) > 10


async def test_a_look_is_drawn_once_however_many_ask_at_once_and_nobody_is_refused() -> None:
    pictures, work, begun = initials.Pictures(), WorkPool(), list[Any]()

    def begin(what: Any) -> Any:
        begun.append(what)
        return work.begin(what)

    try:
        wanted = [(letter, "#123456") for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" * 10]
        impatient = asyncio.create_task(pictures.get(wanted[0], begin))
        await asyncio.sleep(0)
        impatient.cancel()
        found = await asyncio.gather(*(pictures.get(look, begin) for look in wanted))
        assert len(begun) == len(set(found)) == 26
        assert not pictures._drawing
    finally:
        work.close()


def test_the_ones_asked_for_last_are_kept() -> None:
    pictures = initials.Pictures(most=2)
    for letter in "AB":
        pictures.keep((letter, "#000"), letter.encode())
    assert pictures.find(("A", "#000")) == b"A"
    pictures.keep(("C", "#000"), b"C")
    assert pictures.find(("B", "#000")) is None
    assert pictures.find(("A", "#000")) == b"A"
