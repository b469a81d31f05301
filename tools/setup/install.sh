#!/bin/sh
# Installs what building, testing or measuring needs and this machine lacks, by package name.
# Usage: install.sh build|test|check|bench|fuzz ...   (groups add up)
set -eu

build_packages="cmake ninja-build pkg-config gcc g++ libc6-dev libuv1-dev libc-ares-dev libssl-dev
  libsimdjson-dev libyaml-dev zlib1g-dev libzstd-dev
  libsqlite3-dev"
engine_packages="curl python3 python3-venv python3-pip git"
test_packages="python3 python3-venv python3-yaml nodejs npm node-llhttp openssl procps prometheus
  tzdata"
check_packages="clang clang-14 clang-format clang-tidy"
bench_packages="nginx-light python3"
fuzz_packages="clang clang-14 libclang-rt-14-dev"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

wanted=""
for group in "$@"; do
    case "$group" in
    build | engine | test | check | bench | fuzz) eval "wanted=\"\$wanted \$${group}_packages\"" ;;
    *)
        echo "install.sh: unknown group: $group" >&2
        exit 2
        ;;
    esac
done

if ! command -v apt-get >/dev/null 2>&1; then
    echo "This system has no apt-get. Install the counterparts of these Debian packages, then run make again:" >&2
    echo "$wanted" | tr -s ' \n' ' ' | fold -s -w 96 >&2
    echo >&2
    [ -n "${WEIR_SKIP_INSTALL:-}" ] && exit 0
    exit 1
fi

# Debian's nodejs has npm in a package of its own, which NodeSource's nodejs contains and conflicts with.
present() {
    case "$1" in
    npm) command -v npm >/dev/null ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed' ;;
    esac
}

lacking() {
    for package in "$@"; do
        case " $found " in *" $package "*) continue ;; esac
        present "$package" || found="$found $package"
    done
}

# RUNLEVEL: nginx must not start serving just because it was installed for comparison.
get() {
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends "$@" |
        awk '/^(Setting up|Unpacking)/ { n++; printf "\r  %3d steps: %-60.60s", n, $0; fflush() } END { if (n) print "" }'
}

found=""
# shellcheck disable=SC2086
lacking $wanted
[ -n "$found" ] || exit 0

echo "Weir needs these packages and is about to install them with apt-get:"
echo "$found" | tr -s ' \n' ' ' | fold -s -w 96 | sed 's/^ */  /'
as_root apt-get update -q 2>&1 | tail -n 1
first=$(echo "$found" | tr -s ' \n' '\n\n' | grep -vx npm || true)
# shellcheck disable=SC2086
[ -z "$first" ] || get $first
case " $found " in *" npm "*) present npm || get npm ;; esac
for package in $found; do
    present "$package" || {
        echo "install.sh: $package could not be installed" >&2
        exit 1
    }
done
