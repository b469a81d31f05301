# Shared by get-engine.sh and get-model.sh: messages, the cache folder, the need for tools, one run
# at a time. Sourced, never run. Expects $here (the folder of this file) and $me (the name for
# messages).

say() {
    printf '%s\n' "$me: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

# Sets $root, the folder that everything fetched or built goes to. It is outside the source tree:
# nothing of it is ours to ship.
set_root() {
    if [ -n "${WEIR_CACHE:-}" ]; then
        root=$(absolute "$WEIR_CACHE")
    elif [ -n "${XDG_CACHE_HOME:-}" ]; then
        root=$XDG_CACHE_HOME/weir
    elif [ -n "${HOME:-}" ]; then
        root=$HOME/.cache/weir
    else
        fail "no place for a cache: set WEIR_CACHE to a folder"
    fi
}

absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$(pwd)/$1" ;;
    esac
}

# need_tools "command:debian-package" ...: ends with one line that names all that is missing.
need_tools() {
    commands='' packages=''
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null 2>&1 && continue
        commands="$commands ${pair%%:*}"
        packages="$packages ${pair#*:}"
    done
    [ -z "$commands" ] || fail "missing:$commands (Debian, Ubuntu: apt-get install$packages)"
}

# Sets $python to one that has pip. A system without pip but with venv gets a private one in $root.
set_python() {
    python=python3
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        python=$root/python/bin/python3
        [ -x "$python" ] || python3 -m venv "$root/python" >/dev/null 2>&1 || {
            rm -rf "$root/python"
            fail "missing: pip (Debian, Ubuntu: apt-get install python3-pip)"
        }
    fi
}

# one_at_a_time LOCKFILE "$@": runs this script again under an exclusive lock, unless that has
# happened already. The lock is the kernel's: it ends with the last process of the run, however that
# ends, so it is never stale.
one_at_a_time() {
    [ "${WEIR_LOCK_HELD:-}" != "$1" ] || return 0
    lock=$1
    shift
    WEIR_LOCK_HELD=$lock exec python3 "$here/lock.py" "$lock" "$me" sh "$0" "$@"
}
