"""A network of hosts on this machine, each a network namespace; Linux, and root.

    alice [eth0 10.77.0.1] ──┐
    bob   [eth0 10.77.0.2] ──┤ bridge
    carol [eth0 10.77.0.3] ──┘

The bridge has a namespace of its own, so that this machine's own network is never touched. None of
them has a name: each lives as long as the process that holds it, and that one ends when its input
closes, even when the test run is killed. So nothing is left behind, and networks do not collide.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Self

_TOOLS = {"ip": "iproute2", "ss": "iproute2", "nft": "nftables", "nsenter": "util-linux"}
_TRIAL = """
ip link add name switch type bridge
ip link add name port type veth peer name eth0
nft "add table inet faults; add chain inet faults trial; \
    add rule inet faults trial numgen random mod 100 < 5 drop"
"""
_PATIENCE_SECONDS = 30.0


class CommandFailed(Exception):
    """A command that sets up the network has failed; the text is what it said."""


@cache
def why_unusable() -> str:
    """Why there can be no such network here; empty if there can."""
    needs = "a network of namespaces needs"
    if not sys.platform.startswith("linux"):
        return f"{needs} Linux"
    if os.geteuid() != 0:
        return f"{needs} root"
    if missing := {package for tool, package in _TOOLS.items() if not shutil.which(tool)}:
        return f"{needs} these packages: {', '.join(sorted(missing))}"
    try:
        _run("unshare", "--net", "sh", "-euc", _TRIAL)
    except CommandFailed as error:
        return f"{needs} more than this machine allows: {error}"
    return ""


class Host:
    """One namespace, held by a process of its own."""

    def __init__(self, name: str, address: str = "") -> None:
        self.name = name
        self.address = address
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo held; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the tests, which end this one.
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"held\n":
            self.end()
            raise CommandFailed(f"no namespace for {name}")

    @property
    def pid(self) -> int:
        """The process whose namespace this is."""
        return self._holder.pid

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command that shall run here."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")

    def run(self, *command: str, given: str = "") -> str:
        """Run a command here: what it prints. Raises CommandFailed."""
        return _run(*self.prefix, *command, given=given)

    def end(self) -> None:
        """Let the namespace go; it is gone when no process is in it any more."""
        for pipe in (self._holder.stdin, self._holder.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._holder.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()


class Network:
    """Hosts on one wire, and what is done to it. Faults last until `heal`."""

    def __init__(self, switch: Host, hosts: list[Host]) -> None:
        self._switch = switch
        self._hosts = {host.name: host for host in hosts}
        self._silenced: set[tuple[str, str]] = set()
        self._lost_percent = 0
        switch.run("ip", "link", "add", "name", "switch", "type", "bridge")
        switch.run("ip", "link", "set", "dev", "switch", "up")
        for host in hosts:
            self._wire(host)

    @classmethod
    @contextmanager
    def of(cls, *names: str) -> Iterator[Self]:
        """A network of hosts with these names, which ends with the block."""
        with ExitStack() as stack:
            hosts = []
            for number, name in enumerate(["switch", *names]):
                hosts.append(Host(name, f"10.77.0.{number}" if number else ""))
                stack.callback(hosts[-1].end)
            yield cls(hosts[0], hosts[1:])

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def _wire(self, host: Host) -> None:
        ends = f"link add name {host.name} type veth peer name eth0 netns {host.pid}"
        self._switch.run("ip", *ends.split())
        for where, device in ((self._switch, host.name), (host, "eth0")):
            # Else 64 KiB of a stream cross a veth in one piece, and are lost in one piece.
            where.run("ip", "link", "set", "dev", device, "gso_max_segs", "1")
        self._switch.run("ip", "link", "set", "dev", host.name, "master", "switch", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            host.run("ip", "link", "set", "dev", device, "up")

    def partition(self, one: str, *others: str) -> None:
        """Nothing passes between one host and the others, either way."""
        for other in others:
            self._silenced |= {(one, other), (other, one)}
        self._rule()

    def drop_one_way(self, source: str, target: str) -> None:
        """What the source sends does not reach the target."""
        self._silenced.add((source, target))
        self._rule()

    def lose(self, percent: int) -> None:
        """Every packet between any two hosts is lost with this chance."""
        self._lost_percent = percent
        self._rule()

    def heal(self) -> None:
        """Everything passes again; what is unplugged stays so."""
        self._silenced.clear()
        self._lost_percent = 0
        self._rule()

    def _rule(self) -> None:
        for host in self._hosts.values():
            drops = [
                f"ip saddr {self._hosts[source].address} counter drop"
                for source, target in sorted(self._silenced)
                if target == host.name
            ]
            if self._lost_percent:
                drops.append(
                    f'iifname "eth0" numgen random mod 100 < {self._lost_percent} counter drop'
                )
            # One transaction: there is no moment without rules, or with half of them.
            rules = [
                "table inet faults",
                "delete table inet faults",
                "table inet faults {",
                "chain incoming {",
                "type filter hook input priority 0;",
                *drops,
                "}",
                "}",
            ]
            host.run("nft", "-f", "-", given="\n".join(rules) + "\n")

    def dropped(self) -> int:
        """How many packets the rules of now have dropped."""
        listed = [host.run("nft", "list", "ruleset") for host in self._hosts.values()]
        return sum(int(count) for count in re.findall(r"packets (\d+)", "".join(listed)))

    def unplug(self, name: str) -> None:
        """The interface of a host goes down: its address and routes are of no use."""
        self._hosts[name].run("ip", "link", "set", "dev", "eth0", "down")

    def plug(self, name: str) -> None:
        """It is up again."""
        self._hosts[name].run("ip", "link", "set", "dev", "eth0", "up")

    def connections(self, name: str, to: str) -> set[str]:
        """Both ends of each TCP connection of a host to another one that is established."""
        address = self._hosts[to].address
        listed = self._hosts[name].run("ss", "-Htn", "state", "established", "dst", address)
        return {" ".join(line.split()[2:4]) for line in listed.splitlines()}


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
