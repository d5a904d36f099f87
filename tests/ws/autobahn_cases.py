"""The cases of the Autobahn test suite without compression, as data.

Numbers, bytes and expectations are those of autobahntestsuite 0.8.2, whose own program needs Python 2. What it sends in
one write is one chunk here; what it waits between is left out, because nothing here depends on time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.rig.scale import scale

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD = 1000, 1002, 1007
KEY = b"\x37\xfa\x21\x3d"
KIB, MIB = 1 << 10, 1 << 20

KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")
SURROGATE = bytes.fromhex("eda080")
TOO_HIGH = bytes.fromhex("f4908080")

Echoed = tuple[int, bytes]


@dataclass(frozen=True)
class Case:
    """What is sent, what must come back before the end, and how it ends.

    codes: of the close frame that ends it; 0 stands for one without a code. by: the chunk that must have ended it.
    """

    number: str
    chunks: Sequence[bytes]
    echoes: Sequence[Echoed] = ()
    codes: frozenset[int] = frozenset({NORMAL})
    by: int | None = None


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A masked frame, as a client sends it."""
    length = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += b"\xfe" + length.to_bytes(2, "big")
    else:
        head += b"\xff" + length.to_bytes(8, "big")
    mask = (KEY * (length // 4 + 1))[:length]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
    return head + KEY + masked


def close(code: int = NORMAL, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def fragments(opcode: int, payload: bytes, size: int) -> list[bytes]:
    """A message in frames of so many bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(parts) - 1
    return [frame(CONTINUATION if at else opcode, part, fin=at == last) for at, part in enumerate(parts)]


def chop(data: bytes, size: int = 1) -> list[bytes]:
    """As it arrives when it is written in pieces."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def _good(number: str, chunks: Sequence[bytes], *echoes: Echoed, by_close: bytes | None = None) -> Case:
    return Case(number, [*chunks, close() if by_close is None else by_close], echoes)


def _bad(
    number: str, chunks: Sequence[bytes], *echoes: Echoed, code: int = PROTOCOL_ERROR, by: int | None = None
) -> Case:
    return Case(number, chunks, echoes, frozenset({code}), by)


def _framing() -> Iterator[Case]:
    sizes = [(0, 0), (125, 0), (126, 0), (127, 0), (128, 0), (65535, 0), (65536, 0), (65536, 997)]
    for group, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for index, (size, chop_size) in enumerate(sizes, 1):
            data = frame(opcode, byte * size)
            chunks = chop(data, chop_size) if chop_size else [data]
            yield _good(f"1.{group}.{index}", chunks, (opcode, byte * size))


def _pings() -> Iterator[Case]:
    hello, binary, long = b"Hello, world!", bytes.fromhex("00fffefdfcfb00ff"), b"\xfe" * 125
    yield _good("2.1", [frame(PING)], (PONG, b""))
    yield _good("2.2", [frame(PING, hello)], (PONG, hello))
    yield _good("2.3", [frame(PING, binary)], (PONG, binary))
    yield _good("2.4", [frame(PING, long)], (PONG, long))
    yield _bad("2.5", [frame(PING, b"\xfe" * 126)])
    yield _good("2.6", chop(frame(PING, long)), (PONG, long))
    yield _good("2.7", [frame(PONG)])
    yield _good("2.8", [frame(PONG, b"unsolicited pong payload")])
    yield _good(
        "2.9", [frame(PONG, b"unsolicited pong payload"), frame(PING, b"ping payload")], (PONG, b"ping payload")
    )
    payloads = [b"payload-%d" % number for number in range(10)]
    pings = [frame(PING, payload) for payload in payloads]
    pongs = [(PONG, payload) for payload in payloads]
    yield _good("2.10", pings, *pongs)
    yield _good("2.11", chop(b"".join(pings)), *pongs)


def _reserved_bits() -> Iterator[Case]:
    text, binary = b"Hello, world!", bytes.fromhex("00fffefdfcfb00ff")
    good, echo = frame(TEXT, text), (TEXT, text)
    yield _bad("3.1", [frame(TEXT, text, rsv=1)])
    yield _bad("3.2", [good + frame(TEXT, text, rsv=2) + frame(PING)], echo)
    yield _bad("3.3", [good, frame(TEXT, text, rsv=3), frame(PING)], echo)
    yield _bad("3.4", chop(good + frame(TEXT, text, rsv=4) + frame(PING)), echo)
    yield _bad("3.5", [frame(BINARY, binary, rsv=5)])
    yield _bad("3.6", [frame(PING, text, rsv=6)])
    yield _bad("3.7", [frame(CLOSE, rsv=7)])


def _opcodes() -> Iterator[Case]:
    text, payload = b"Hello, world!", b"reserved opcode payload"
    good, echo = frame(TEXT, text), (TEXT, text)
    for group, first in ((1, 3), (2, 11)):
        yield _bad(f"4.{group}.1", [frame(first)])
        yield _bad(f"4.{group}.2", [frame(first + 1, payload)])
        yield _bad(f"4.{group}.3", [good, frame(first + 2), frame(PING)], echo)
        yield _bad(f"4.{group}.4", [good, frame(first + 3, payload), frame(PING)], echo)
        yield _bad(f"4.{group}.5", chop(good + frame(first + 4, payload) + frame(PING)), echo)


def _fragmentation() -> Iterator[Case]:
    one, two, both = b"fragment1", b"fragment2", (TEXT, b"fragment1fragment2")
    begin, end = frame(TEXT, one, fin=False), frame(CONTINUATION, two)
    ping, pong = frame(PING, b"ping payload"), (PONG, b"ping payload")
    yield _bad("5.1", fragments(PING, one + two, 9))
    yield _bad("5.2", fragments(PONG, one + two, 9))
    for first, frames, echoes in ((3, [begin, end], [both]), (6, [begin, ping, end], [pong, both])):
        together = b"".join(frames)
        yield _good(f"5.{first}", [together], *echoes)
        yield _good(f"5.{first + 1}", frames, *echoes)
        yield _good(f"5.{first + 2}", chop(together), *echoes)
    for first, fin in ((9, True), (12, False)):
        frames = [frame(CONTINUATION, b"non-continuation payload", fin=fin), frame(TEXT, b"Hello, world!")]
        together = b"".join(frames)
        yield _bad(f"5.{first}", [together])
        yield _bad(f"5.{first + 1}", frames)
        yield _bad(f"5.{first + 2}", chop(together))
    nothing_to_continue = frame(CONTINUATION, b"fragment3", fin=False)
    yield _bad("5.15", [begin + end + nothing_to_continue + frame(TEXT, b"fragment4")], both)
    for number, fin in (("5.16", False), ("5.17", True)):
        alone = frame(CONTINUATION, one, fin=fin)
        yield _bad(number, [alone, begin, end, alone, begin, end])
    yield _bad("5.18", [begin, frame(TEXT, two)])
    parts = [b"fragment%d" % number for number in range(1, 6)]
    frames = [
        frame(TEXT, parts[0], fin=False), frame(CONTINUATION, parts[1], fin=False), frame(PING, b"pongme 1!"),
        frame(CONTINUATION, parts[2], fin=False), frame(CONTINUATION, parts[3], fin=False), frame(PING, b"pongme 2!"),
        frame(CONTINUATION, parts[4]),
    ]  # fmt: skip
    echoes = [(PONG, b"pongme 1!"), (PONG, b"pongme 2!"), (TEXT, b"".join(parts))]
    yield _good("5.19", [b"".join(frames[:3]), b"".join(frames[3:])], *echoes)
    yield _good("5.20", chop(b"".join(frames)), *echoes)


def _fragmented_utf8() -> Iterator[Case]:
    empty, middle = b"", b"middle frame payload"
    yield _good("6.1.1", [frame(TEXT)], (TEXT, b""))
    for number, part in (("6.1.2", empty), ("6.1.3", middle)):
        frames = [frame(TEXT, fin=False), frame(CONTINUATION, part, fin=False), frame(CONTINUATION)]
        yield _good(number, frames, (TEXT, part))
    hello = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!".encode()
    cut = len("Hello-\u00b5@\u00df\u00f6\u00e4".encode())
    yield _good("6.2.1", [frame(TEXT, hello)], (TEXT, hello))
    halves = [frame(TEXT, hello[:cut], fin=False), frame(CONTINUATION, hello[cut:])]
    yield _good("6.2.2", halves, (TEXT, hello))
    yield _good("6.2.3", fragments(TEXT, hello, 1), (TEXT, hello))
    yield _good("6.2.4", fragments(TEXT, KOSME, 1), (TEXT, KOSME))
    invalid = KOSME + SURROGATE + b"edited"
    yield _bad("6.3.1", [frame(TEXT, invalid)], code=INVALID_PAYLOAD)
    yield _bad("6.3.2", fragments(TEXT, invalid, 1), code=INVALID_PAYLOAD)
    for group, parts in (
        (1, (KOSME, TOO_HIGH, b"edited")),
        (2, (KOSME + TOO_HIGH[:1], TOO_HIGH[1:2], TOO_HIGH[2:] + b"edited")),
    ):
        frames = [
            frame(TEXT, parts[0], fin=False), frame(CONTINUATION, parts[1], fin=False), frame(CONTINUATION, parts[2]),
        ]  # fmt: skip
        yield _bad(f"6.4.{group}", frames, code=INVALID_PAYLOAD, by=1)
        whole = frame(TEXT, b"".join(parts))
        ends = [len(whole) - len(parts[1]) - len(parts[2]), len(whole) - len(parts[2])]
        chunks = [whole[: ends[0]], whole[ends[0] : ends[1]], whole[ends[1] :]]
        yield _bad(f"6.4.{group + 2}", chunks, code=INVALID_PAYLOAD, by=1)


_INCOMPLETE = [
    "c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf",
]  # fmt: skip
_CODE_POINT_ENDS = {2, 5, 7, 9, 11}


def _alternating(first: int, end: int) -> str:
    return b"".join(bytes([byte, 0x20]) for byte in range(first, end)).hex()


# By group: what is valid UTF-8 and what is not, in hex, in Autobahn's order (after Markus Kuhn's UTF-8-test.txt).
_UTF8: dict[int, list[tuple[bool, str]]] = {
    5: [
        (True, (b"hello" + middle + b"world").hex())
        for middle in (b"\x24", b"\xc2\xa2", b"\xe2\x82\xac", b"\xf0\xa4\xad\xa2")
    ]
    + [(True, KOSME.hex())],
    6: [(length in _CODE_POINT_ENDS, KOSME[:length].hex()) for length in range(1, len(KOSME) + 1)],
    7: [(True, one) for one in ("00", "c280", "e0a080", "f0908080")],
    8: [(False, one) for one in ("f888808080", "fc8480808080")],
    9: [(True, one) for one in ("7f", "dfbf", "efbfbf", "f48fbfbf")],
    10: [(False, one) for one in ("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")],
    11: [(True, one) for one in ("ed9fbf", "ee8080", "efbfbd", "f48fbfbf")] + [(False, "f4908080")],
    12: [(False, one) for one in ("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf")]
    + [(False, bytes(range(0x80, 0xBF)).hex())],
    13: [
        (False, _alternating(first, end))
        for first, end in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
    ],
    14: [(False, one) for one in _INCOMPLETE],
    15: [(False, "".join(_INCOMPLETE))],
    16: [(False, one) for one in ("fe", "ff", "fefeffff")],
    17: [(False, one) for one in ("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")],
    18: [(False, one) for one in ("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")],
    19: [(False, one) for one in ("c080", "e08080", "f0808080", "f880808080", "fc8080808080")],
    20: [(False, one) for one in ("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf")],
    21: [
        (False, high + low) for high in ("eda080", "edadbf", "edae80", "edafbf") for low in ("edb080", "edbfbf")
    ],
    22: [(True, "efbfbe"), (True, "efbfbf")]
    + [
        (True, f"{plane}{nibble}bf{last}")
        for plane, nibbles in (
            ("f0", ("9f", "af", "bf")), ("f1", ("8f", "9f", "af", "bf")), ("f2", ("8f", "9f", "af", "bf")),
            ("f3", ("8f", "9f", "af", "bf")), ("f4", ("8f",)),
        )
        for nibble in nibbles
        for last in ("be", "bf")
    ],
    23: [(True, f"efbf{last}") for last in ("b9", "ba", "bb", "bc", "bd", "be", "bf")],
}  # fmt: skip


def _utf8() -> Iterator[Case]:
    yield from _fragmented_utf8()
    for group, sequences in _UTF8.items():
        for index, (valid, text) in enumerate(sequences, 1):
            number, payload = f"6.{group}.{index}", bytes.fromhex(text)
            if valid:
                yield _good(number, [frame(TEXT, payload)], (TEXT, payload))
            else:
                yield _bad(number, [frame(TEXT, payload)], code=INVALID_PAYLOAD)


_VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
_INVALID_CODES = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)


def _closing() -> Iterator[Case]:
    hello = frame(TEXT, b"Hello World!")
    yield _good("7.1.1", [hello], (TEXT, b"Hello World!"))
    yield _good("7.1.2", [close()])
    yield Case("7.1.3", [close(), frame(PING)])
    yield Case("7.1.4", [close(), hello])
    yield Case("7.1.5", [frame(TEXT, b"fragment1", fin=False), close(), frame(CONTINUATION, b"fragment2")])
    big = b"BAsd7&jh23" * (256 * KIB // 10)
    yield Case("7.1.6", [frame(TEXT, big) + close() + frame(PING)], [(TEXT, big)])
    yield Case("7.3.1", [frame(CLOSE)], codes=frozenset({0, NORMAL}))
    yield _bad("7.3.2", [frame(CLOSE, b"a")])
    yield Case("7.3.3", [close()])
    yield Case("7.3.4", [close(reason=b"Hello World!")])
    yield Case("7.3.5", [close(reason=b"*" * 123)])
    yield _bad("7.3.6", [close(reason=b"*" * 124)])
    yield _bad("7.5.1", [close(reason=KOSME + SURROGATE + b"edited")], code=INVALID_PAYLOAD)
    for index, code in enumerate(_VALID_CODES, 1):
        yield Case(f"7.7.{index}", [close(code)], codes=frozenset({NORMAL, code}))
    for index, code in enumerate(_INVALID_CODES, 1):
        yield _bad(f"7.9.{index}", [close(code)])
    for index, code in enumerate((5000, 65535), 1):
        yield Case(f"7.13.{index}", [close(code)], codes=frozenset({NORMAL, PROTOCOL_ERROR, code}))


def _limits() -> Iterator[Case]:
    """The largest messages are a sixteenth of their size outside of a prove run."""
    for group, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for index, size in enumerate((64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB), 1):
            data = byte * (size if size <= MIB else scale(size // 16, size))
            yield _good(f"9.{group}.{index}", [frame(opcode, data)], (opcode, data))
    for group, opcode, byte in ((3, TEXT, b"*"), (4, BINARY, b"\xfe")):
        data = byte * scale(256 * KIB, 4 * MIB)
        for index in range(9):
            yield _good(f"9.{group}.{index + 1}", fragments(opcode, data, 64 << 2 * index), (opcode, data))
    for group, opcode, unit in ((5, TEXT, "\u00b5@\u00df\u00f6".encode()), (6, BINARY, b"\x00\xfe\x23\xfa\xf0")):
        data = unit * (MIB // len(unit))
        for index in range(6):
            yield _good(f"9.{group}.{index + 1}", chop(frame(opcode, data), 64 << index), (opcode, data))
    for group, opcode, byte in ((7, TEXT, b"*"), (8, BINARY, b"\xfe")):
        for index, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            yield _good(f"9.{group}.{index}", [frame(opcode, byte * size)] * 1000, *[(opcode, byte * size)] * 1000)


def _automatic_fragmentation() -> Iterator[Case]:
    data = b"*" * 65536
    yield _good("10.1.1", fragments(TEXT, data, 1300), (TEXT, data))


def cases() -> Iterator[Case]:
    """All of them, in Autobahn's order."""
    for group in (
        _framing, _pings, _reserved_bits, _opcodes, _fragmentation, _utf8, _closing, _limits, _automatic_fragmentation,
    ):  # fmt: skip
        yield from group()
