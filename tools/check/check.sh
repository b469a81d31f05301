#!/bin/sh
# `make check`: everything about the code that can be said without running it.
set -u
cd "$(dirname "$0")/../.."
failed=""
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step NAME COMMAND...: runs it, shows its output only when it fails.
step() {
    name=$1
    shift
    printf '  %-34s' "$name"
    began=$(date +%s)
    if "$@" >"$log" 2>&1; then
        echo "ok ($(($(date +%s) - began)) s)"
    else
        echo "FAILED"
        tail -n 60 "$log" | sed 's/^/    /'
        failed="$failed $name;"
    fi
}

format() {
    git ls-files '*.c' '*.h' '*.cc' | xargs clang-format --dry-run -Werror
}

clang_build() {
    [ -f build/clang/build.ninja ] || cmake --preset clang >/dev/null
    ninja -C build/clang --quiet
}

sealed() {
    [ -f build/seal/build.ninja ] || cmake --preset seal >/dev/null
    ninja -C build/seal --quiet all all_verify_interface_header_sets
}

tidy() {
    [ -f build/clang/build.ninja ] || cmake --preset clang >/dev/null
    git ls-files 'src/*.c' | xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p build/clang 2>&1 |
        grep -v 'warnings generated\|^$\|Suppressed\|Use -header-filter' >"$log.tidy"
    if grep -E 'warning:|error:' "$log.tidy"; then
        rm -f "$log.tidy"
        return 1
    fi
    rm -f "$log.tidy"
}

docs() {
    tools/setup/build.sh release weir && tools/check/docs.sh build/release/src/cli/weir check
}

echo "make check"
step "formatting" format
step "house rules" python3 tools/check/rules.py
step "gcc, warnings as errors" tools/setup/build.sh dev
step "clang, warnings as errors" clang_build
step "layers sealed, headers alone" sealed
step "clang-tidy" tidy
step "generated documents" docs
if [ -n "$failed" ]; then
    echo "make check failed:$failed"
    exit 1
fi
