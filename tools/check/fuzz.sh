#!/bin/sh
# fuzz.sh BUILD SECONDS: runs each libFuzzer target of BUILD (the preset `fuzz`) for that long, two at
# a time, from its corpus in tests/fuzz/corpus. What they find that is new stays in BUILD/found, from
# where the next run goes on. Exit status 1: some input crashes a target; its path is printed.
set -u

usage() {
    echo "usage: $0 BUILD SECONDS" >&2
    exit 2
}

# run_one TARGET: one target to its end, and its line.
run_one() {
    name=${1##*/fuzz_}
    found=$build/found/$name
    log=$build/found/$name.log
    mkdir -p "$found" "$build/found/crashes"
    set -- "$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$build/found/crashes/$name-" "$found"
    [ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
    "$@" >"$log" 2>&1
    status=$?
    figures=$(awk '/^#[0-9]/ { runs = substr($1, 2); for (i = 2; i < NF; i++) if ($i == "cov:") cov = $(i + 1) }
        END { printf "%d runs, %d edges", runs, cov }' "$log")
    if [ $status -eq 0 ]; then
        printf '  %-20s ok      %s, no crash\n' "$name" "$figures"
        return 0
    fi
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    printf '  %-20s CRASHED %s, 1 crash: %s\n' "$name" "$figures" "${input:-see $log}"
    return 1
}

if [ "${1:-}" = --one ]; then # from the xargs below
    build=$2 seconds=$3
    run_one "$4"
    exit
fi

[ $# -eq 2 ] || usage
case $2 in '' | *[!0-9]*) usage ;; esac
build=$(cd "$1" && pwd) || exit 2
cd "$(dirname "$0")/../.." || exit 2
set -- "$build" "$2"
n=0
for target in "$build"/tests/fuzz/fuzz_*; do
    if [ ! -f "$target" ] || [ ! -x "$target" ]; then
        continue
    fi
    set -- "$@" "$target"
    n=$((n + 1))
done
if [ $n -eq 0 ]; then
    echo "$build/tests/fuzz has no fuzz targets: build the preset \`fuzz\` first" >&2
    exit 2
fi
seconds=$2
shift 2
echo "$n fuzz targets for $seconds s each, two at a time: about $(((n + 1) * seconds / 120 + 1)) min"
if printf '%s\0' "$@" | xargs -0 -n 1 -P 2 tools/check/fuzz.sh --one "$build" "$seconds"; then
    echo "no crash; what is new is in $build/found"
else
    echo "a crash is repeated by $build/tests/fuzz/fuzz_NAME INPUT" >&2
    exit 1
fi
