# Sourced by the commands beside it, which set $root first.
# prepare_environment EXTRAS [NAME [WISHED]]: makes or completes an environment of the project's own,
# .venv unless named, with as much of the extra WISHED as can be installed, and sets $python.

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
can_make_environments='import ensurepip, venv'

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- "$root/.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11 python
    fi
    base_python=
    for candidate in "$@"; do
        "$candidate" -c "$new_enough" 2>/dev/null || continue
        base_python=${base_python:-$candidate}
        if "$candidate" -c "$can_make_environments" 2>/dev/null; then
            base_python=$candidate
            return 0
        fi
    done
    [ -n "$base_python" ]
}

prepare_environment() {
    if ! find_python; then
        echo "noisemesh needs Python 3.11 or newer${PYTHON:+, and $PYTHON is not one}." >&2
        echo "Install one, or name one: PYTHON=/path/to/python $0" >&2
        exit 1
    fi
    python=$("$base_python" "$root/scripts/_environment.py" "$@") || exit 1
}
