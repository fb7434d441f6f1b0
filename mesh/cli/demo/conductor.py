"""`mesh demo`: performs the play once, tells of it, judges it and leaves nothing behind."""

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mesh
from mesh.cli.demo.checks import Evidence, judge
from mesh.cli.demo.folder import Folder, shown, survey
from mesh.cli.demo.play import Plan, Play
from mesh.cli.demo.story import Story, document, silence
from mesh.cli.demo.troupe import ChildFailed
from mesh.cli.failures import Exit, Failure

EXIT_OK, EXIT_FAILED = 0, 1


def main(directory: Path | None, json: bool, plan: Plan | None = None) -> int:
    """Run the demonstration on a folder; None: the sources of the installed package.

    The account goes to standard output; with `json` to standard error, and one JSON document to
    standard output. Returns the exit code: 0 only if every check held. Raises Failure (usage) for a
    folder that cannot be listed or holds no text.
    """
    story = Story(sys.stderr if json else sys.stdout)
    root = directory if directory is not None else Path(mesh.__file__ or "").parent
    folder = _surveyed(root)
    try:
        return _perform_and_judge(folder, story, json, plan or Plan())
    except BrokenPipeError:
        silence()
        return EXIT_FAILED


def _surveyed(root: Path) -> Folder:
    try:
        folder = survey(root)
    except OSError as error:
        text = f"cannot list {shown(str(root))}: {error.strerror or error}"
        raise Failure(Exit.USAGE, "Folder", text) from None
    if not folder.files:
        found = f": {folder.describe()}" if folder.left_out else ""
        raise Failure(Exit.USAGE, "NoText", f"no text files in {shown(str(root))}{found}")
    return folder


def _perform_and_judge(folder: Folder, story: Story, json: bool, plan: Plan) -> int:
    evidence = asyncio.run(_perform(folder, story, plan))
    if evidence.trouble:
        story.say("trouble", evidence.trouble)
    checks = judge(evidence)
    story.conclude(checks)
    if json:
        facts = {"folder": str(folder.root), "nodes": evidence.ids, "counters": evidence.counters}
        print(document(checks, story.seconds, facts))
    return EXIT_OK if all(check.held for check in checks) else EXIT_FAILED


async def _perform(folder: Folder, story: Story, plan: Plan) -> Evidence:
    """The whole play; what goes wrong in it becomes the evidence's trouble."""
    play = Play(folder, story, plan)
    with _interruptible(lambda: not play.ending):
        scratch = Path(tempfile.mkdtemp(prefix="noisemesh-demo-"))
        try:
            await play.perform(scratch)
        except* ChildFailed as group:
            play.evidence.trouble = "; ".join(str(error) for error in leaves(group))
        except* TimeoutError:
            play.evidence.trouble = f"not done within {plan.limit_seconds:g} s"
        except* asyncio.CancelledError:
            play.evidence.trouble = "interrupted"
        except* Exception as group:
            play.evidence.trouble = "; ".join(map(repr, leaves(group)))
        finally:
            await play.end()
            play.evidence.left_behind = await asyncio.to_thread(_remove, scratch)
    return play.evidence


def _remove(folder: Path) -> str:
    """Remove a folder. Its path if that failed."""
    shutil.rmtree(folder, ignore_errors=True)
    return str(folder) if folder.exists() else ""


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions themselves, out of groups in groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


@contextlib.contextmanager
def _interruptible(wanted: Callable[[], bool]) -> Iterator[None]:
    """SIGINT and SIGTERM cancel this task, once, while that is `wanted`; later they do nothing."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    cancelled = False

    def interrupt() -> None:
        nonlocal cancelled
        if task is not None and wanted() and not cancelled:
            cancelled = True
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
