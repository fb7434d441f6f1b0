"""A worker: counts the words of files that arrive in pieces, and answers where a word is."""

from collections import Counter
from pathlib import Path
from typing import Any

from mesh import Peer, Receipt
from mesh.cli.demo.member import Member, Tell
from mesh.cli.demo.words import WordCount, chunks


class Worker(Member):
    """Messages `piece` in, messages `counts` to the index out; calls `finish` and `where`."""

    def __init__(self, name: str, home: Path, tell: Tell, *, rekey_after_seconds: float) -> None:
        super().__init__(name, home, tell, rekey_after_seconds=rekey_after_seconds)
        self._counting: dict[int, tuple[WordCount, int]] = {}
        self._counted: dict[int, Counter[str]] = {}
        self._pieces = self._bytes = self._files = 0
        self._sent: Receipt | None = None
        self._first_generation = 0
        self.node.on("piece")(self.on_piece)
        self.node.serve("finish")(self.finish)
        self.node.serve("where")(self.where)

    async def on_piece(self, body: dict[str, Any], *, peer: Peer) -> None:
        """One piece of one file; each must be the very next one of that file."""
        if not self._first_generation:
            self._first_generation = self.generation("index")
        file, number, data = body["file"], body["piece"], body["data"]
        words, expected = self._counting.get(file) or (WordCount(), 0)
        if number != expected:
            raise ValueError(f"piece {number} of file {file} from {peer}, not {expected}")
        words.feed(data, final=body["last"])
        self._pieces += 1
        self._bytes += len(data)
        if not body["last"]:
            self._counting[file] = words, expected + 1
            return
        self._counting.pop(file, None)
        self._files += 1
        self._counted[file] = words.counts
        parts = list(chunks(words.counts))
        for index, part in enumerate(parts, 1):
            message = {
                "round": body["round"],
                "file": file,
                "counts": part,
                "last": index == len(parts),
            }
            self._sent = await self.node.send("index", "counts", message)

    async def finish(self, _body: object) -> dict[str, int]:
        """A round is over: wait until the index has handled our counts, and say what we did."""
        if self._sent is not None:
            await self._sent.handled()
        return {
            "pieces": self._pieces,
            "bytes": self._bytes,
            "files": self._files,
            "unfinished": len(self._counting),
            "first_generation": self._first_generation,
            "generation": self.generation("index"),
        }

    async def where(self, word: str) -> list[int]:
        """Numbers of the files counted here that hold this word."""
        return [file for file, counts in self._counted.items() if word in counts]
