"""Tar files of images and labels, as WebDataset writes them: damaged, and with other headers whose sums are right."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzz.changes import patched
from fuzz.judge import Kind
from fuzz.pictures import encoded
from unmask.data.sources.samples import split_name
from unmask.data.sources.shards import read_shards
from unmask.errors import UserError

BLOCK = 512
FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
FIELDS = {"name": (0, 100), "size": (124, 136), "kind": (156, 157), "magic": (257, 263), "prefix": (345, 500)}
ODD = {
    "name": (b"", b"/", b"x/", b"\xff.png", b"a\nb.png", b"x" * 100, b".png", b"0.cls"),
    "size": (
        b"77777777777\0",
        b"00000000000\0",
        b"-1\0",
        b"9",
        b" 12 ",
        b"\x80" + b"\xff" * 11,
        b"\xff" * 12,
        b"00000001000",
    ),
    "kind": (b"\0", b"1", b"2", b"5", b"7", b"L", b"K", b"x", b"g", b"S", b"A", b"\xff"),
    "magic": (b"ustar ", b"\0" * 6, b"ustar\0"),
    "prefix": (b"p" * 155, b"\xff", b"/"),
}
LABELS = (b"0", b"1", b"", b" 1\n", b"7" * 5000, b"\xff", b"\x00", b"\x1b[31m", b"-1")
FACTS = (
    b'{"label": 1}',
    b'{"label": "a"}',
    b'{"label": null}',
    b'{"label": {"a": 1}}',
    b"[",
    b"[]",
    b"1",
    b'{"class": 1e400}',
)
FACTS += (
    b'{"label": ' + b"9" * 5000 + b"}",
    b'{"a": ' + b"[" * 99999 + b"}",
    b'{"label": "\\ud800"}',
    b'{"label": 0, "label": 1}',
    b"\xff",
)
RECORDS = (
    b"10 size=1\n",
    b"0 a=b\n",
    b"9" * 5000 + b" a=b\n",
    b"99 path=a\n",
    b"11 path=a.p\n",
    b"14 size=99999\n",
    b"x",
    b"9 path=a\n",
)
RECORDS += (b"11 size=-1\n", b"11 size=1e\n", b"5014 size=" + b"9" * 5003 + b"\n")


def packed(members: list[tuple[str, bytes]], form: int) -> bytes:
    """A tar of these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def summed(header: bytes) -> bytes:
    """A header with its sum."""
    bare = header[:148] + b" " * 8 + header[156:]
    return bare[:148] + b"%06o\0 " % sum(bare) + bare[156:]


@st.composite
def shards(draw: st.DrawFn) -> bytes:
    """Samples with odd labels, or an odd header, or damage."""
    members = []
    for index in range(4):
        key = draw(st.sampled_from([f"{index:03}", f"{index:03}", f"d/{index}", "x" * 150 + str(index), f"é{index}"]))
        members.append((f"{key}.png", encoded(".png", index)))
        label = draw(st.sampled_from([("cls", b"%d" % (index % 2))] * 2 + [("cls", one) for one in LABELS]))
        members.append((f"{key}.{label[0]}", label[1]))
        if draw(st.integers(0, 5)) == 0:
            members[-1] = (f"{key}.json", draw(st.sampled_from(FACTS)))
    long = any(len(name) > 100 for name, _ in members)
    content = packed(members, draw(st.sampled_from(FORMS[1:] if long else FORMS)))
    change = draw(st.sampled_from(["none", "damaged", "damaged", "header", "header", "record", "twice"]))
    if change == "damaged":
        return draw(patched(content))
    if change == "twice":
        return packed([*members, members[0]], tarfile.GNU_FORMAT)
    if change == "record":
        record = draw(st.sampled_from(RECORDS))
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, len(record)
        return info.tobuf() + record + bytes(-len(record) % BLOCK) + content
    if change == "header":
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            at = draw(st.sampled_from([info.offset for info in tar]))
        start, end = FIELDS[field := draw(st.sampled_from(sorted(FIELDS)))]
        value = draw(st.sampled_from(ODD[field]))[: end - start].ljust(end - start, b"\0")
        header = content[at : at + BLOCK]
        return content[:at] + summed(header[:start] + value + header[end:]) + content[at + BLOCK :]
    return content


def _source(path: Path) -> Any:
    source = read_shards([path], labels=False)
    if source.damaged:  # what stops a run, or is told where the rest is taken
        raise UserError(source.damaged[0])
    return source


def lists(value: Any, content: bytes) -> bool:
    """Whether names, bytes and labels of the images are those that Python's tarfile finds.

    An object of JSON is no label: none is read then, which is told.
    """
    members: list[tuple[str, dict[str, bytes]]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for info in tar:
                if info.isreg() and not info.name.endswith("/") and not Path(info.name).name.startswith("."):
                    key, field = split_name(info.name)
                    if not members or members[-1][0] != key:
                        members.append((key, {}))
                    members[-1][1][field] = tar.extractfile(info).read()  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError, EOFError):
        return False
    samples = [one for _, one in members if "png" in one]
    images = [value.images.stored(row).read_bytes() for row in range(len(value.names))]
    labels = ["" if code < 0 else value.classes[code] for code in value.labels.tolist()]
    if any(isinstance(_facts(one).get("label"), dict) for one in samples if "cls" not in one):
        unread = any(note.startswith("labels are not read") for note in value.notes)
        return unread and not any(labels) and images == [one["png"] for one in samples]
    found = [_label(one) for one in samples]
    known = [one for one in found if one is not None]
    one_class = len(set(known) - {"", "-1"}) < 2
    return images == [one["png"] for one in samples] and (
        one_class
        or all(
            mine == ("" if theirs == "-1" else theirs)
            for mine, theirs in zip(labels, found, strict=True)
            if theirs is not None
        )
    )


def _label(sample: dict[str, bytes]) -> str | None:
    """The label of a sample; None where its text is odd, which other tests are about."""
    if "cls" in sample:
        text = sample["cls"].decode("latin-1").strip()
        return text if text.isascii() and text.isprintable() else None
    found = _facts(sample).get("label")
    return str(found) if isinstance(found, int | str) and str(found).isprintable() else None


def _facts(sample: dict[str, bytes]) -> dict[str, Any]:
    """What the .json member says; nothing where it cannot be read."""
    try:
        found = json.loads(sample.get("json", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


SHARDS = (Kind("shard .tar", "x.tar", shards, _source, lists, words=lambda path: ("data", "check", str(path))),)
