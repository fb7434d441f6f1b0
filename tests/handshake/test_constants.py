"""The numbers and labels of the handshake fit together."""

import ast
import inspect

from handshake import constants
from handshake.constants import Reason


def _labels() -> list[bytes]:
    return [value for name, value in vars(constants).items() if name.startswith("LABEL_")]


def test_every_label_has_one_purpose():
    """No label is another one or the beginning of another one."""
    labels = _labels()
    assert len(labels) >= 8
    for label in labels:
        assert [other for other in labels if other.startswith(label)] == [label]


def test_roles_and_directions_differ():
    """What one side signs or sends under can not be the other side's."""
    assert constants.ROLE_INITIATOR != constants.ROLE_RESPONDER
    assert constants.DIRECTION_INITIATOR_TO_RESPONDER != constants.DIRECTION_RESPONDER_TO_INITIATOR


def test_the_text_of_an_id_has_no_padding():
    """Key and checksum fill base32's groups of five bytes exactly."""
    length = constants.ID_BYTES + constants.ID_CHECKSUM_BYTES
    assert length % 5 == 0
    assert length // 5 * 8 == constants.ID_TEXT_CHARS


def test_every_reason_is_explained_and_says_itself():
    """A reason is its text on the wire, and each has a sentence in the source."""
    assert Reason("not trusted") is Reason.NOT_TRUSTED
    assert str(Reason.BAD_PROOF) == "bad proof"
    body = ast.parse(inspect.getsource(Reason)).body[0].body
    for number, statement in enumerate(body):
        if isinstance(statement, ast.Assign):
            assert isinstance(body[number + 1], ast.Expr), statement.targets[0].id
