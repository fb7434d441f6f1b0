"""Make or complete the project's own virtual environment; print the path of its Python.

Usage: python _environment.py EXTRAS [NAME [WISHED]], where EXTRAS is a comma-separated list,
possibly empty, and WISHED an extra of which each requirement is left out, by name, where it cannot
be installed. Runs under any Python from 3.11 and uses the standard library alone. The environment
is NAME, as a rule `.venv`; where PYTHON asks for another version than it holds, it is `NAME-X.Y`
beside it. A working environment is completed, never rebuilt. Installing happens only when
pyproject.toml changed since the last time, or the tree was moved.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
import tomllib
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


def install(environment: Path, extras: str, wished: str = "") -> None:
    """Install the project, editable, when pyproject.toml changed since the last time."""
    python = python_of(environment)
    content = (ROOT / "pyproject.toml").read_bytes() + b"\0" + os.fsencode(ROOT) + wished.encode()
    digest = hashlib.sha256(content).hexdigest()
    stamp = environment / f"noisemesh-{extras or 'plain'}.stamp"
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    what = f".[{extras}]" if extras else "."
    say(f"installing {what} into {environment.name}")
    began = time.monotonic()
    run([python, "-m", "ensurepip"], unless=[python, "-m", "pip", "--version"])
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e"]
    everything = f".[{','.join(filter(None, (extras, wished)))}]"
    if not wished or failure([*pip, everything]) is not None:
        run([*pip, what])
        install_one_by_one([*pip, what], wished)
    stamp.write_text(digest, encoding="ascii")
    say(f"installed in {time.monotonic() - began:.0f} s")


def install_one_by_one(pip: list[str | Path], wished: str) -> None:
    """Install what can be of an extra, and name what cannot.

    `pip`: a command that ends with our own project, so that what that requires goes on to hold.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["optional-dependencies"].get(wished, ()):
        said = failure([*pip, requirement])
        if said is not None:
            last = said.decode(errors="replace").strip().splitlines()[-1:]
            say(f"left out, since it cannot be installed: {requirement} {' '.join(last)}")
            say("to try again, remove noisemesh-*.stamp in the environment")


def run(command: list[str | Path], unless: list[str | Path] | None = None) -> None:
    """Run a command in the root, silent unless it fails; skip it when `unless` succeeds."""
    if unless and failure(unless) is None:
        return
    if (said := failure(command)) is not None:
        sys.stderr.buffer.write(said)
        say(f"failed: {' '.join(map(str, command))}")
        sys.exit(1)


def failure(command: list[str | Path]) -> bytes | None:
    """Run a command in the root; what it said if it failed, else None."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout if done.returncode else None


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
    wished = sys.argv[3] if len(sys.argv) > 3 else ""
    with alone():
        environment, absent = choose(name)
        if absent:
            make(environment)
        install(environment, extras, wished)
    print(python_of(environment))


if __name__ == "__main__":
    main()
