"""docs/SPEC.md says what the code does: whoever changes one without the other fails here."""

import re
import struct
from types import ModuleType
from typing import Any

import pytest

import handshake.constants
import handshake.primitives
import mesh.constants
import mesh.limits
import spec_page
from handshake import payload
from handshake.identity import Delegation, Identity
from mesh.delivery import assembly
from mesh.engine import sending, terms
from mesh.engine.resume import Memory, Resume
from mesh.engine.settings import Settings
from mesh.errors import MalformedFrame
from mesh.session.states import TRANSITIONS
from mesh.wire import cbor, frames, messages
from spec_page import Row, code, number

PAGE = spec_page.text()
TABLES = spec_page.tables(PAGE)

# Of the library and of files on disk, not of the wire.
NOT_OF_THE_WIRE = {
    *("MAX_MESSAGE_BYTES", "MAX_SECONDS", "REKEY_COUNTER", "SHORT_ID_CHARS"),
    *("PASSPHRASE_SALT_BYTES", "SECRET_BOX_NONCE_BYTES"),
}
# Limits of a node that no section speaks of.
NOT_SPOKEN_OF = {"MESSAGE_BUDGET_BYTES", "RETIRED_DELIVERIES_PER_PEER"}
NOT_SPOKEN_OF |= {"BESIDE_CALLS_BYTES", "FORGOTTEN_REMEMBERED", "STRANGERS_REMEMBERED"}


def public(module: ModuleType, kind: type | tuple[type, ...]) -> dict[str, Any]:
    """The constants of a module that are of one type, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and type(value) in _types(kind)
    }


def _types(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def column(table: str, name: str) -> list[str]:
    """One column of a table."""
    return [row[name] for row in TABLES[table]]


def by_name(table: str) -> dict[str, Row]:
    """The rows of a table by their names, each of which stands there once."""
    rows = {code(row["Name"]): row for row in TABLES[table]}
    assert len(rows) == len(TABLES[table])
    return rows


# -- the page itself


def test_paragraphs_are_numbered_in_order() -> None:
    """Each number is there once, below its own heading, and they go up by one."""
    numbers = [tuple(map(int, each.split("."))) for each in spec_page.paragraphs(PAGE)]
    assert numbers == sorted(set(numbers))
    for section in {each[:2] for each in numbers}:
        last = [each[2] for each in numbers if each[:2] == section]
        assert last == list(range(1, len(last) + 1))
    place: tuple[int, ...] = ()
    for heading, paragraph in re.findall(r"^### (\d+\.\d+) |^\*\*(\d+\.\d+)\.\d+\*\*", PAGE, re.M):
        if heading:
            place = tuple(map(int, heading.split(".")))
        else:
            assert tuple(map(int, paragraph.split("."))) == place


def test_every_requirement_has_a_number() -> None:
    """Prose that demands something can be cited."""
    demands = re.compile(r"\b(MUST|SHOULD|MAY)\b")
    first, *prose = spec_page.blocks(PAGE)
    loose = [
        block[:60]
        for block in prose
        if demands.search(block) and not re.match(r"\*\*\d+\.\d+\.\d+\*\* ", block)
    ]
    assert first.startswith("This page is normative")
    assert loose == []


def test_what_is_referred_to_is_there() -> None:
    """Sections named in the text exist, and links within the page lead somewhere."""
    paragraphs = set(spec_page.paragraphs(PAGE))
    headings = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", PAGE, re.MULTILINE))
    ours = re.sub(r"(Noise|RFC \d+)[\w\s,()]*?sections?\s\d[\d.]*( and \d+)?", "", PAGE)
    named = set(re.findall(r"(?<![\d.\w`])(\d+\.\d+(?:\.\d+)?)(?![\d.]*\d)", ours))
    numbers = {*column("recommended", "Value"), "1.0", "3.0"}
    assert len(named) > 100
    assert named - numbers - paragraphs - headings == set()
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_every_name_is_explained() -> None:
    """A constant that the text names stands in a table."""
    known = {code(row["Name"]) for rows in TABLES.values() for row in rows if "Name" in row}
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", PAGE))
    assert named - known == set()


# -- names and numbers


def test_labels() -> None:
    """Every label, role, direction and protocol name, byte for byte, and no two alike."""
    expected = {
        **public(handshake.constants, (bytes, str)),
        **public(frames, bytes),
    }
    for name in ("UNKNOWN_ID", "MESH_PSK_ID"):
        assert expected.pop(name).strip(b"\0") == b""
    said = {name: code(row["Bytes"]) for name, row in by_name("labels").items()}
    assert said == {
        name: value if isinstance(value, str) else value.decode()
        for name, value in expected.items()
    }
    assert len(set(said.values())) == len(said)
    for name, row in by_name("labels").items():
        paragraph = _paragraph(row["Used in"])
        assert f'"{said[name]}"' in paragraph or f"`{said[name]}`" in paragraph


def _paragraph(section: str) -> str:
    found = re.search(rf"\*\*{re.escape(section)}\*\* .*?(?=\n\n|\Z)", PAGE, re.DOTALL)
    assert found, section
    return found[0]


def test_sizes() -> None:
    """Every fixed length."""
    expected = {
        **public(handshake.constants, int),
        "INSTANCE_BYTES": mesh.constants.INSTANCE_BYTES,
        "DATA_HEADER_BYTES": frames.DATA_HEADER_BYTES,
        "HANDSHAKE_HEADER_BYTES": frames.HANDSHAKE_HEADER_BYTES,
    }
    of_the_wire = expected.keys() - NOT_OF_THE_WIRE - {"CLOCK_TOLERANCE_SECONDS"}
    said = {name: number(row["Value"]) for name, row in by_name("sizes").items()}
    assert said == {name: expected[name] for name in of_the_wire}


def test_constants_of_the_wire() -> None:
    """Those that both sides hold alike, and those they rely on in their order: none is missing."""
    expected = {
        **public(mesh.constants, (int, float)),
        "HANDSHAKE_MAX_BYTES": frames.HANDSHAKE_MAX_BYTES,
        "MAX_DEPTH": cbor.MAX_DEPTH,
        "RUNS_MAX": messages.RUNS_MAX,
        "MESSAGES_MAX": messages.MESSAGES_MAX,
        "HANDLED_MAX": messages.HANDLED_MAX,
        "KIND_MAX": messages.KIND_MAX,
        "FIRST_CONTROL": messages.FIRST_CONTROL,
        "CLOCK_TOLERANCE_SECONDS": handshake.constants.CLOCK_TOLERANCE_SECONDS,
    }
    del expected["INSTANCE_BYTES"]  # a size: see there
    _compare({**by_name("agreed"), **by_name("recommended")}, expected)
    assert by_name("agreed").keys() & by_name("recommended").keys() == set()


def test_constants_of_one_node() -> None:
    """What noisemesh chose for itself and the page speaks of."""
    chosen = public(mesh.limits, (int, float))
    _compare(by_name("local"), {name: chosen[name] for name in chosen.keys() - NOT_SPOKEN_OF})


def _compare(rows: dict[str, Row], expected: dict[str, Any]) -> None:
    said = {name: number(row["Value"]) for name, row in rows.items()}
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        assert float(said[name]) == float(value), name
        unit = rows[name]["Unit"]
        assert ("SECONDS" in name) == (unit == "seconds"), name
        assert ("_BYTES" in name) == unit.startswith("bytes"), name
        section = rows[name]["Section"]
        spoken_of = re.search(rf"\b{name}\b", _paragraph(section)) or name == "VERSION"
        assert spoken_of, f"{section} does not speak of {name}"


def test_frame_types() -> None:
    """Every type of frame."""
    types = {"MESSAGE_1", "MESSAGE_2", "MESSAGE_3", "DATA", "BULK", "REFUSAL"}
    lengths = {name for name in public(frames, int) if name.endswith("_BYTES")}
    assert public(frames, int).keys() - lengths - {"VERSION"} == types
    said = {name: int(row["Type"]) for name, row in by_name("frame types").items()}
    assert said == {name: getattr(frames, name) for name in types}


def test_kinds() -> None:
    """Every kind of run: its number, whether it is control and whose room it takes."""
    others = {"FIRST_CONTROL", "KIND_MAX", "RUNS_MAX", "MESSAGES_MAX", "HANDLED_MAX"}
    kinds = {
        name: (value,) if isinstance(value, int) else value
        for name, value in public(messages, (int, tuple)).items()
        if name not in others and not name.startswith("REPLY_")
    }
    said = by_name("kinds")
    assert {name: _all_of(row["Number"]) for name, row in said.items()} == kinds
    depths = {
        name: _all_of(row["Credited"].removeprefix("at depth "))
        for name, row in said.items()
        if row["Credited"] != "no"
    }
    assert {
        kind: depth
        for name, of_name in depths.items()
        for kind, depth in zip(kinds[name], of_name, strict=True)
    } == messages.DEPTHS
    for name, row in said.items():
        control = kinds[name][0] >= messages.FIRST_CONTROL
        assert row["Section"].startswith("13." if control else "12.")


def _all_of(cell: str) -> tuple[int, ...]:
    """`7`, or `5 to 8` counted out."""
    first, _, last = cell.partition(" to ")
    return tuple(range(int(first), int(last or first) + 1))


def test_reply_statuses() -> None:
    """Every status of a reply."""
    statuses = {n: v for n, v in public(messages, int).items() if n.startswith("REPLY_")}
    assert {n: int(row["Status"]) for n, row in by_name("reply statuses").items()} == statuses


def test_reasons() -> None:
    """Every reason and its text; the order of checks names no other."""
    said = {name: code(row["Text"]) for name, row in by_name("reasons").items()}
    assert said == {reason.name: reason.value for reason in handshake.constants.Reason}
    steps = TABLES["checks"]
    assert [int(row["Step"]) for row in steps] == list(range(1, len(steps) + 1))
    used = {row["Reason otherwise"] for row in steps} - {"none"}
    assert {code(reason) for reason in used} <= set(said.values())


def test_suites() -> None:
    """Every suite, and how its nonce is made of the counter."""
    assert [code(row["Name"]) for row in TABLES["suites"]] == list(handshake.constants.SUITES)
    assert {code(row["Name"]): int(row["Bit"]) for row in TABLES["suites"]} == terms.SUITE_BITS
    for row in TABLES["suites"]:
        suite = code(row["Name"])
        order = "little" if "least significant first" in row["Nonce"] else "big"
        aead = handshake.primitives.Aead(suite, bytes(32))
        assert aead._nonce(0x0102) == bytes(4) + (0x0102).to_bytes(8, order)


def test_states() -> None:
    """Every move of a session."""
    said = {(code(row["From"]), row["What happened"]): code(row["To"]) for row in TABLES["states"]}
    assert said == {
        (state.value, trigger.value): after.value for (state, trigger), after in TRANSITIONS.items()
    }


# -- layouts


def _slices(table: str, frame: bytes) -> dict[str, bytes]:
    """The fields of a header where the table says they are; they leave no room between them."""
    fields, following = {}, 0
    for row in TABLES[table]:
        begin = int(row["Offset"])
        assert begin == following
        following = begin + int(row["Bytes"]) if row["Bytes"] else len(frame)
        fields[row["Field"].partition(":")[0]] = frame[begin:following]
    return fields


def test_layout_of_a_handshake_frame() -> None:
    """Each field lies where the table says."""
    frame = frames.pack_handshake(frames.MESSAGE_2, 0x0A, 0x0B, b"noise", b"psk id..", 0x0C)
    assert _slices("handshake header", frame) == {
        "version": b"\1",
        "type": b"\2",
        "flags": b"\0\x0c",
        "receiver_session": b"\0" * 7 + b"\x0a",
        "sender_session": b"\0" * 7 + b"\x0b",
        "psk_id": b"psk id..",
        "Noise message": b"noise",
    }


def test_layout_of_a_data_frame() -> None:
    """Each field lies where the table says."""
    header = frames.DATA_HEADER.pack(1, frames.BULK, 0x20, 0x0A, 0x0B)
    assert _slices("data header", header + bytes(48)) == {
        "version": b"\1",
        "type": b"\5",
        "flags": b"\0\x20",
        "receiver_session": b"\0" * 7 + b"\x0a",
        "counter": b"\0" * 7 + b"\x0b",
        "sealed": bytes(48),
    }


@pytest.mark.parametrize("ranges", [0, 1, 3])
def test_layout_of_a_head(ranges: int) -> None:
    """Each byte of the head lies where the table says, however many ranges it has."""
    handled = [0xA1, *((0xA2 + 2 * n, 0xA2 + 2 * n) for n in range(ranges))]
    head = messages.encode_head(0xB1, 0xB2, handled, 0xB3, 2)
    expected: dict[str, bytes] = {
        "4 + number of runs": b"\0\6",
        "batch": b"\0" * 7 + b"\xb1",
        "acknowledged": b"\0" * 7 + b"\xb2",
        "1 + number of ranges": bytes([0, 1 + ranges]),
        "handled: all up to this one": b"\0" * 7 + b"\xa1",
        "credit": b"\0" * 7 + b"\xb3",
    }
    following = 0
    for row in TABLES["head"]:
        begin, length = (_of_ranges(row[name], ranges) for name in ("Offset", "Bytes"))
        assert begin == following
        following = begin + length
        content = head[begin:following]
        if row["Content"].startswith("for each range"):
            assert content[: 19 * ranges : 19] == b"\x82" * ranges
        elif row["Content"].startswith("`"):
            assert content.hex() == code(row["Content"])
        else:
            assert content == expected.pop(row["Content"])
    assert expected == {}
    assert following == len(head)


def _of_ranges(cell: str, ranges: int) -> int:
    """`33 + 19 × ranges`, counted out."""
    terms_of_sum = [part.split(" × ") for part in cell.split(" + ")]
    return sum(int(first) * (ranges if rest else 1) for first, *rest in terms_of_sum)


def test_elements_of_a_body() -> None:
    """The numbers of the head, in their order, then runs."""
    elements = [code(row["Element"]) for row in TABLES["body"]]
    assert elements == [*messages.Body._fields[:4], "run"]


def test_layout_of_a_payload() -> None:
    """Each field lies where the table says."""
    identity = Identity(bytes(32))
    delegation = Delegation(b"k" * 32, 0x0B, 0x0C, b"s" * 64)
    packed = payload.pack_payload(identity.id, 0x0A, delegation, b"p" * 64, b"all the rest")
    assert _slices("payload", packed) == {
        "id": identity.id,
        "session_id": b"\0" * 7 + b"\x0a",
        "not_before": b"\0" * 7 + b"\x0b",
        "not_after": b"\0" * 7 + b"\x0c",
        "signature": b"s" * 64,
        "proof": b"p" * 64,
        "terms": b"all the rest",
    }


def test_layout_of_terms() -> None:
    """Each field lies where the table says, and what follows is ignored."""
    settings = Settings(bytes(range(16)), window_bytes=1 << 17, max_message_bytes=1 << 18)
    said = terms.ours(settings, 0x0A, Resume(0x0B, 0x0C))
    assert _slices("terms", said) == {
        "instance": bytes(range(16)),
        "window": (1 << 17).to_bytes(8, "big"),
        "message": (1 << 18).to_bytes(8, "big"),
        "generation": b"\0" * 7 + b"\x0a",
        "epoch": b"\0" * 7 + b"\x0b",
        "next": b"\0" * 7 + b"\x0c",
        "oldest": b"\1",
        "newest": b"\1",
        "suites": b"\1",
    }
    last = TABLES["terms"][-1]
    assert int(last["Offset"]) + int(last["Bytes"]) == len(said)


@pytest.mark.parametrize("row", TABLES["encodings"], ids=lambda row: row["Encoding"])
def test_encodings(row: Row) -> None:
    """What the page says of an encoding, the decoder does."""
    encoding = bytes.fromhex(code(row["Encoding"]))
    if row["Verdict"] == "taken":
        cbor.loads(encoding)
    else:
        assert row["Verdict"] == "refused"
        with pytest.raises(MalformedFrame):
            cbor.loads(encoding)


# -- numbers that stand in the text alone


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("10.3.4", f"`MAX_DEPTH` + {messages._PACKED_DEPTH - cbor.MAX_DEPTH} "),
        ("12.9.2", f"`MAX_DEPTH` + {messages._PACKED_DEPTH - 1 - cbor.MAX_DEPTH}\n"),
        ("12.7.1", f"at most {assembly._ITEM_MAX_BYTES} bytes"),
        ("11.6.1", "for 64 of them"),
        ("6.6.2", "less than 2^62"),
        ("6.4.1", "184 bytes"),
        ("3.4.2", "0 to 2^63 - 1"),
        ("8.1.3", "56 bytes"),
        ("14.2.5", "after two resends"),
    ],
)
def test_numbers_in_the_text(section: str, words: str) -> None:
    """They are the code's too."""
    assert words in _paragraph(section)


def test_those_numbers_in_the_code() -> None:
    """See the test above."""
    assert Memory._LIMIT == 64
    assert sending._RESENT_BEFORE_DOUBT == 2
    assert terms._LARGEST == 1 << 62
    assert handshake.constants.MAX_SECONDS == 2**63 - 1
    assert struct.calcsize(">8s") + 32 + 16 == 56
