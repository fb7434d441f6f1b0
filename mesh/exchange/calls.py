"""Calls: a request is answered by one reply, matched by the number the caller gave it.

Requests and replies are ordinary messages of a delivery; this room knows their shapes and which
of them are still waiting. What waits is an opaque token: a future to the runtime.
"""

from typing import Any, Generic, TypeVar

from mesh.errors import BufferFull, CallFailed, Denied, MalformedFrame, MeshError, NoHandler
from mesh.limits import CALLS_PER_PEER
from mesh.wire import messages

Token = TypeVar("Token")

# Texts of a handler's error: enough to understand it, too little to fill memory.
_TEXT_MAX = 2000


def decode_item(item: object) -> tuple[int, int, Any]:
    """The caller's number for it, its milliseconds or status, and the body of a request or reply.

    Raises MalformedFrame when the item is neither.
    """
    if type(item) is not list or len(item) != 3:
        raise MalformedFrame("a request or reply is not an array of three")
    call_id, number, body = item
    if type(call_id) is not int or type(number) is not int or call_id < 0 or number < 0:
        raise MalformedFrame("a request or reply does not begin with two numbers")
    return call_id, number, body


def decode_cancel(item: object) -> int:
    """The number of the call that is not waited for. Raises MalformedFrame."""
    if type(item) is not int or item < 0:
        raise MalformedFrame("a cancelled call is named by its number")
    return item


def describe_failure(error: BaseException) -> list[str]:
    """What the caller may know of a handler's error: its type and text, no traceback.

    Always something that can be carried, whatever the error's own methods do. What failed in a call
    that the handler made is handed on as it was told to it.
    """
    if isinstance(error, CallFailed):
        return [_carried(error.kind), _carried(error.text)]
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be read"
    return [_carried(type(error).__name__), _carried(text)]


def _carried(text: str) -> str:
    """No half surrogate pairs (file names that are no UTF-8 have them), and not too much."""
    return text[:_TEXT_MAX].encode(errors="backslashreplace").decode()[:_TEXT_MAX]


def error_of(status: int, body: object, subject: str, peer: object) -> MeshError:
    """The error that a reply with another status than OK stands for; `peer`: who has replied."""
    if status == messages.REPLY_FAILED:
        match body:
            case [str(kind), str(text)]:
                return CallFailed(kind[:_TEXT_MAX], text[:_TEXT_MAX])
            case _:
                return CallFailed("Unknown", "the peer did not say what failed")
    if status == messages.REPLY_NO_HANDLER:
        return NoHandler(f"{peer} has no service {subject!r}")
    if status == messages.REPLY_DENIED:
        return Denied(f"{peer} does not allow {subject!r}")
    if status == messages.REPLY_CANCELLED:
        return CallFailed("Cancelled", "the handler was cancelled")
    if status == messages.REPLY_NOT_CARRIED:
        text = body if isinstance(body, str) else "the reply could not be carried"
        return CallFailed("InvalidMessage", text[:_TEXT_MAX])
    return CallFailed("Unknown", f"reply status {status}")


class PendingCalls(Generic[Token]):
    """Calls to one peer that wait for their replies; `waiting`: their tokens by number."""

    def __init__(self) -> None:
        self.waiting: dict[int, Token] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self.waiting)

    def open(self, token: Token) -> int:
        """The number of a new call. Raises BufferFull over `CALLS_PER_PEER` waiting ones."""
        if len(self.waiting) >= CALLS_PER_PEER:
            raise BufferFull(f"{CALLS_PER_PEER} calls to this peer wait for replies already")
        number = self._next
        self._next += 1
        self.waiting[number] = token
        return number

    def take(self, call_id: int) -> Token | None:
        """The call that a reply belongs to; None when it is over already."""
        return self.waiting.pop(call_id, None)

    def take_all(self) -> list[Token]:
        """All that wait: the peer is gone."""
        waiting = list(self.waiting.values())
        self.waiting.clear()
        return waiting
