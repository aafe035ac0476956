# Sourced by scripts/up and scripts/test: virtual environments from the locks, made once, refreshed when a lock changes.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$candidate" ] || continue
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "algo needs Python 3.11 or newer on the PATH (or PYTHON=/path/to/python)" >&2
    exit 2
}

# venv FOLDER LOCK… : make FOLDER and install the locks into it, unless it already holds exactly these
venv() {
    local folder=$ROOT/$1 stamp lock line missing=
    shift
    stamp=$folder/.locks
    for lock in "$@" pyproject.toml; do
        line="$lock $(cksum <"$ROOT/$lock")"
        grep -qxF "$line" "$stamp" 2>/dev/null || missing=1
    done
    [ -n "$missing" ] || return 0
    echo "setting up ${folder##*/} (once)…" >&2
    [ -x "$folder/bin/python" ] || "$(find_python)" -m venv "$folder" || {
        echo "could not make a virtual environment; on Debian: apt-get install python3-venv" >&2
        exit 2
    }
    local pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check) locks=()
    for lock in "$@"; do locks+=(-r "$ROOT/$lock"); done
    "${pip[@]}" --require-hashes "${locks[@]}"
    if [ "${folder##*/}" = .venv ]; then
        "${pip[@]}" --no-index --no-deps --no-build-isolation --editable "$ROOT"
    fi
    for lock in "$@" pyproject.toml; do
        echo "$lock $(cksum <"$ROOT/$lock")"
    done >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
