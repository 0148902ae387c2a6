"""Zone lookups, and ways to damage them."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from core.extract import sample
from tests.fuzz.parquet_files import NAMES, Case

NAME = sample.ZONES

Rng = random.Random


@functools.cache
def good() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        sample.write_zones(Path(folder) / NAME)
        return (Path(folder) / NAME).read_bytes()


def _lines(rng: Rng) -> list[bytes]:
    lines = good().split(b"\r\n")[:-1]
    return lines[: rng.choice((1, 2, 40, len(lines)))]


def encode(rng: Rng) -> bytes:
    text = good().decode()
    kind = rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037", "utf-7", "latin-1"))
    return text.replace("Queens", "Quéens").encode(kind)


def quote(rng: Rng) -> bytes:
    content = bytearray(good())
    for _ in range(rng.choice((1, 2, 3))):
        place = rng.randrange(len(content))
        content[place:place] = rng.choice(
            (b'"', b'""', b"'", b",", b'"\n"', b'\\"', b"\r", b"\n", b"\0", b"\x1b[2J", b"\xff")
        )
    return bytes(content)


def end_lines(rng: Rng) -> bytes:
    return rng.choice((b"\n", b"\r", b"\n\r", b"\r\n\r\n", b"\x0b", b"\xe2\x80\xa8", b"")).join(
        _lines(rng)
    ) + rng.choice((b"", b"\n", b"\n\n\n", b"\x1a"))


def enlarge(rng: Rng) -> bytes:
    long = rng.choice((257, 5_000, 1 << 20, 5 << 20))
    text = rng.choice(
        (
            b"x" * long,
            b"9" * long,
            b'"' + b'""' * long + b'"',
            b"," * long,
            b"\n" * long,
            b'"' + b"\n" * long + b'"',
            b"\0" * long,
        )
    )
    place = rng.choice((b"LocationID", b"Queens", b"N/A", b'265,"'))
    return good().replace(place, text, rng.choice((1, 1, 3)))


def columns(rng: Rng) -> bytes:
    """Rename, add, drop, double or move a column."""
    rows = [line.split(b",", 3) for line in _lines(rng)]
    order = rng.choice(([3, 2, 1, 0], [0, 1, 2], [0, 1, 2, 3, 3], [0, 0, 1, 2, 3], [1, 2, 3], [0], []))
    lines = [b",".join(row[place] for place in order if place < len(row)) for row in rows]
    if rng.random() < 0.5:
        lines[0] = lines[0].replace(
            rng.choice((b"Zone", b"LocationID", b"Borough")), rng.choice(NAMES).encode(errors="surrogatepass"), 1
        )
    return b"\r\n".join(lines) + b"\r\n"


_KEYS = (
    b"1",
    b"0",
    b"-1",
    b"2147483647",
    b"2147483648",
    b"1e3",
    b"1.0",
    b"1.5",
    b" 266",
    b"266 ",
    b"0x10",
    b"NaN",
    b"",
    b"+7",
    b"007",
    b"9" * 300,
    "٣".encode(),
    b"=1+1",
    b"1\0",
)
_TEXTS = (
    b"=cmd|'/c calc'!A0",
    b"@SUM(A1)",
    b"N/A",
    b"NULL",
    b"\\N",
    b"",
    b"\\.",
    "é\u202e".encode(),
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xc0\x80",
    b"x" * 256,
    b"x" * 257,
    b"\t",
    b"\x7f",
)


def rows(rng: Rng) -> bytes:
    """Add rows with odd keys and texts, with too few or too many fields, or with a key that exists already."""
    more = []
    for _ in range(rng.choice((1, 1, 3))):
        fields = [rng.choice(_KEYS), *(b'"' + rng.choice(_TEXTS) + b'"' for _ in range(rng.choice((3, 3, 3, 2, 4, 0))))]
        more.append(b",".join(fields))
    return good() + b"\r\n".join(more) + rng.choice((b"\r\n", b""))


def noise(rng: Rng) -> bytes:
    header = rng.choice(
        (b"", b'"LocationID","Borough","Zone","service_zone"\r\n', b"LocationID,Borough,Zone,service_zone\n")
    )
    return header + rng.choice(
        (b"", rng.randbytes(rng.choice((1, 50, 5000))), b"1,a,b,c\n" * rng.choice((1, 2, 200_000)))
    )


def many(rng: Rng) -> bytes:
    """Write many rows with distinct keys."""
    count = rng.choice((300, 20_000, 200_000))
    return b"LocationID,Borough,Zone,service_zone\n" + b"".join(b"%d,a,b,c\n" % key for key in range(count))


def damage(rng: Rng) -> bytes:
    content = bytearray(good())
    for _ in range(rng.choice((1, 2, 20))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: Rng) -> bytes:
    return good()[: rng.randrange(len(good()))]


MUTATORS: dict[str, Callable[[Rng], bytes]] = {
    "csv encoding": encode,
    "csv quotes": quote,
    "csv line ends": end_lines,
    "csv long": enlarge,
    "csv columns": columns,
    "csv rows": rows,
    "csv noise": noise,
    "csv many": many,
    "csv damage": damage,
    "csv cut": cut,
}


def make(rng: Rng) -> Case:
    kind = rng.choice(list(MUTATORS))
    content = MUTATORS[kind](rng)
    header = (
        content.removeprefix(b"\xef\xbb\xbf")
        .replace(b'"', b"")
        .lstrip(b"\r\n")
        .startswith(b"LocationID,Borough,Zone,service_zone")
    )
    return Case(kind, NAME, content, content if header else None)
