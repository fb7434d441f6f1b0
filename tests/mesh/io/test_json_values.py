"""Every value of a message survives JSON; nothing becomes another value in silence."""

import json
import math

import pytest

from mesh.errors import InvalidMessage
from mesh.io.json_values import from_json, to_json


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            -(2**64),
            2**64 - 1,
            1.5,
            1.0,
            -0.0,
            math.inf,
            -math.inf,
            "é\x00\u2028",
            b"",
            bytes(range(256)),
            [],
            [[1], {"a": b"x"}],
            {},
            {"$bytes": "AAEC"},
            {"$map": []},
            {"$": 1},
            {"$bytes": 1, "b": 2},
            {b"key": 1, "key": 2},
            {"a": {b"\xff": {"$float": "nan"}}},
        ],
    )
    def test_arrive_as_they_were(self, value: object) -> None:
        """Every value of a message survives JSON with its type, marks that look like ours too."""
        arrived = from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))
        assert arrived == value
        assert repr(arrived) == repr(value)

    def test_no_number_and_buffers(self) -> None:
        """NaN stays NaN, buffers become bytes and tuples lists, as in a message."""
        assert math.isnan(from_json(to_json(math.nan)))
        assert from_json(to_json((bytearray(b"a"), memoryview(b"b")))) == [b"a", b"b"]

    @pytest.mark.parametrize("value", [object(), {1: 2}.keys(), {frozenset(): 1}, 1j])
    def test_what_is_no_value_is_refused(self, value: object) -> None:
        """Nothing is turned into something else in silence."""
        with pytest.raises(InvalidMessage):
            to_json(value)

    @pytest.mark.parametrize(
        "value",
        [
            {"$bytes": "not base64"},
            {"$bytes": 3},
            {"$float": "1.0"},
            {"$map": 3},
            {"$map": [[1]]},
            {"$map": [[[], 1]]},
            {"$date": "2030"},
        ],
    )
    def test_marks_hold_what_they_say(self, value: object) -> None:
        """A mark with other contents is refused, as is one that does not exist."""
        with pytest.raises(InvalidMessage, match="no mark of a value"):
            from_json(value)
