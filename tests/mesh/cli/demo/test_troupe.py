"""The conductor's hold on its processes."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import mesh
from mesh.cli.demo import troupe
from mesh.cli.demo.troupe import Child, ChildFailed, environment, start_child

READY = """
print('{"news": "ready", "id": "abcdefghijkl", "endpoint": "tcp://127.0.0.1:1"}', flush=True)
"""
OBEDIENT = f"""
import json, sys
{READY}
for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "stop":
        break
    if order["do"] == "fail":
        print(json.dumps({{"order": order["order"], "error": "ValueError: no"}}), flush=True)
    elif order["do"] == "whisper":
        print(json.dumps({{"news": "whisper"}}), flush=True)
    elif order["do"] != "dawdle":
        print(json.dumps({{"order": order["order"], "result": order}}), flush=True)
"""
DEAF = f"""
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{READY}
signal.pause()
"""


@pytest.fixture
async def child(patiently):
    """Starts a program as a child that is listened to; all end with the test."""
    children = []

    async def start(program):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        child = Child("ada", process, lambda child, news: child.news.append(news))
        child.news = []
        child.listening = asyncio.create_task(child.listen())
        children.append(child)
        return child

    yield start
    for one in children:
        await patiently(one.end())
        await asyncio.gather(one.listening, return_exceptions=True)


async def test_orders_are_answered(child, patiently):
    """A result comes back to the order it belongs to; news go elsewhere."""
    ada = await child(OBEDIENT)
    await patiently(ada.ready)
    assert ada.short_id == "abcdefgh..."
    results = await patiently(asyncio.gather(ada.order("one", x=1), ada.order("two", y=2)))
    assert [(result["do"], result["order"]) for result in results] == [("one", 1), ("two", 2)]
    with pytest.raises(ChildFailed, match="did not whisper within"):
        await ada.order("whisper", timeout=0.2)
    await patiently(ada.order("one"))
    assert ada.news == [{"news": "whisper"}]
    assert await patiently(ada.end()) == 0
    await patiently(ada.listening)


async def test_an_order_that_fails_raises(child, patiently):
    """The error of the child is that of the order."""
    ada = await child(OBEDIENT)
    with pytest.raises(ChildFailed, match="ada: ValueError: no"):
        await patiently(ada.order("fail"))


async def test_an_answer_that_comes_too_late_is_ignored(child, patiently):
    """An answer to nobody's order changes nothing."""
    late = """print('{"order": 99, "result": {}}', flush=True)"""
    ada = await child(f"import sys\n{READY}\n{late}\nsys.stdin.read()")
    await patiently(ada.ready)
    assert await patiently(ada.end()) == 0
    await patiently(ada.listening)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import sys; sys.exit('no more')", "exit status 1; last said: no more"),
        ("import sys; sys.exit(3)", "exit status 3; last said: nothing"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("print('nonsense'); input()", "not JSON"),
    ],
)
async def test_a_death_is_noticed(child, patiently, program, complaint):
    """A child that ends without being asked to, or talks nonsense, fails the one who listens."""
    ada = await child(program)
    with pytest.raises(ChildFailed, match=complaint):
        await patiently(ada.listening)


async def test_one_who_does_not_hear_is_ended(child, patiently, monkeypatch):
    """Neither goodbye nor SIGTERM helps: it is killed, and gone."""
    monkeypatch.setattr(troupe, "_STOP_SECONDS", 0.1)
    monkeypatch.setattr(troupe, "_TERMINATE_SECONDS", 0.1)
    ada = await child(DEAF)
    await patiently(ada.ready)
    assert await patiently(ada.end()) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(ada.pid, 0)


async def test_one_who_is_gone_can_be_ended(child, patiently):
    """Ending one who died gives its status."""
    ada = await child("import sys; sys.exit(3)")
    await asyncio.gather(ada.listening, return_exceptions=True)
    assert await patiently(ada.end()) == 3


async def test_a_node_is_started_as_a_process_of_its_own(tmp_path, patiently):
    """It has another process id and session, makes its key, and ends when asked."""
    child = await start_child("asker", "ada", tmp_path / "home", 1.0, lambda *_: None)
    listening = asyncio.create_task(child.listen())
    await patiently(child.ready)
    assert child.pid != os.getpid()
    assert os.getsid(child.pid) == child.pid
    assert len(child.id) == 56
    assert (await child.order("report"))["counters"] == {}
    assert await patiently(child.end()) == 0
    await patiently(listening)


def test_settings_of_nodes_are_not_handed_on(monkeypatch):
    """Variables of noisemesh stay here; this package is found there, however it was here."""
    given = {"MESH_LISTEN": "x", "PATH": "/bin", "PYTHONPATH": "elsewhere"}
    source = Path(mesh.__file__).resolve().parent.parent
    assert environment(given) == {
        "PATH": "/bin",
        "PYTHONPATH": os.pathsep.join(["elsewhere", str(source)]),
    }
    monkeypatch.setattr(mesh, "__file__", "/lib/site-packages/mesh/__init__.py")
    assert environment(given) == {"PATH": "/bin", "PYTHONPATH": "elsewhere"}
