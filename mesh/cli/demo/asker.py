"""Two who only ask: one is trusted and queries the index, one is a stranger to everybody."""

from pathlib import Path
from typing import Any

from mesh import NotTrusted
from mesh.cli.demo.member import Member, Tell


class Asker(Member):
    """Calls to the index; `knock` is for the one nobody trusts."""

    def __init__(self, name: str, home: Path, tell: Tell, *, rekey_after_seconds: float) -> None:
        super().__init__(name, home, tell, rekey_after_seconds=rekey_after_seconds)
        self.orders |= {"ask": self.ask, "table": self.table, "knock": self.knock}

    async def ask(self, question: str, about: object) -> dict[str, Any]:
        """One query to the index."""
        return {"answer": await self.node.call("index", question, about, timeout=10)}

    async def table(self) -> dict[str, Any]:
        """The whole result, page by page."""
        counts: dict[str, int] = {}
        after = ""
        while page := await self.node.call("index", "table", after, timeout=10):
            counts.update((word, count) for word, count in page)
            after = page[-1][0]
        return {"counts": counts}

    async def knock(self, endpoint: str, id: str) -> dict[str, Any]:
        """Dial one who does not know us. `refused`: by which error, empty when not at all."""
        try:
            await self.node.connect(endpoint, id=id)
        except NotTrusted as error:
            return {"refused": type(error).__name__, "text": str(error)}
        return {"refused": "", "text": "let in"}
