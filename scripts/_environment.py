"""Make or complete the project's own virtual environment; print the path of its Python.

Usage: python _environment.py EXTRAS [NAME], where EXTRAS is a comma-separated list, possibly empty.
Runs under any Python from 3.11 and uses the standard library alone. The environment is NAME, as a
rule `.venv`; where PYTHON asks for another version than it holds, it is `NAME-X.Y` beside it. A
working environment is completed, never rebuilt. Installing happens only when pyproject.toml
changed since the last time, or the tree was moved.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
TELL_VERSION = "import sys; print(*sys.version_info[:2])"


def say(text: str) -> None:
    """Print progress where it does not mix with the answer."""
    print(text, file=sys.stderr, flush=True)


def python_of(environment: Path) -> Path:
    """Where an environment keeps its interpreter."""
    windows = environment / "Scripts" / "python.exe"
    return windows if os.name == "nt" else environment / "bin" / "python"


def version_of(environment: Path) -> tuple[int, ...] | None:
    """The version of an environment's Python, or None where there is none that runs."""
    try:
        answer = subprocess.run(
            [python_of(environment), "-c", TELL_VERSION],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(int(number) for number in answer.stdout.split())


def choose(name: str) -> tuple[Path, bool]:
    """The environment to use, and whether it must be made first."""
    usual = ROOT / name
    wanted = sys.version_info[:2] if os.environ.get("PYTHON") else None
    present = version_of(usual)
    if present is None:
        return usual, True
    if present >= OLDEST and wanted in (None, present):
        return usual, False
    other = ROOT / "{}-{}.{}".format(name, *sys.version_info[:2])
    return other, version_of(other) is None


def make(environment: Path) -> None:
    """Create the environment, or say what the machine lacks and exit."""
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        version = "{}.{}".format(*sys.version_info[:2])
        say(f"{sys.executable} cannot make an environment: its venv lacks ensurepip.")
        say(f"Debian and Ubuntu: apt install python{version}-venv")
        say("Elsewhere: install the package that holds Python's ensurepip,")
        say("or name another Python: PYTHON=/path/to/python")
        sys.exit(1)
    say(f"making {environment.name} with Python {sys.version.split()[0]}")
    venv.EnvBuilder(with_pip=True, clear=environment.exists(), symlinks=os.name != "nt").create(
        environment
    )


def install(environment: Path, extras: str) -> None:
    """Install the project, editable, when pyproject.toml changed since the last time."""
    python = python_of(environment)
    content = (ROOT / "pyproject.toml").read_bytes() + b"\0" + os.fsencode(ROOT)
    digest = hashlib.sha256(content).hexdigest()
    stamp = environment / f"noisemesh-{extras or 'plain'}.stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    what = f".[{extras}]" if extras else "."
    say(f"installing {what} into {environment.name}")
    began = time.monotonic()
    run([python, "-m", "ensurepip"], unless=[python, "-m", "pip", "--version"])
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", what])
    stamp.write_text(digest, encoding="ascii")
    say(f"installed in {time.monotonic() - began:.0f} s")


def run(command: list[str | Path], unless: list[str | Path] | None = None) -> None:
    """Run a command in the root, silent unless it fails; skip it when `unless` succeeds."""
    if unless and subprocess.run(unless, capture_output=True, check=False).returncode == 0:
        return
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        say(f"failed: {' '.join(map(str, command))}")
        sys.exit(1)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep a second command from installing at the same moment."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main() -> None:
    """Prepare the environment named by the module docstring."""
    extras = sys.argv[1] if len(sys.argv) > 1 else ""
    name = sys.argv[2] if len(sys.argv) > 2 else ".venv"
    with alone():
        environment, absent = choose(name)
        if absent:
            make(environment)
        install(environment, extras)
    print(python_of(environment))


if __name__ == "__main__":
    main()
