#!/bin/sh
# Configures a preset once and builds it: build.sh PRESET [TARGET ...]. Quiet when nothing is to do.
set -eu
cd "$(dirname "$0")/../.."
preset=$1
shift
if [ ! -f "build/$preset/build.ninja" ]; then
    echo "Configuring build/$preset"
    cmake --preset "$preset" >"/tmp/weir-cmake-$$.log" 2>&1 || {
        cat "/tmp/weir-cmake-$$.log"
        rm -f "/tmp/weir-cmake-$$.log"
        exit 1
    }
    rm -f "/tmp/weir-cmake-$$.log"
fi
exec ninja -C "build/$preset" --quiet "$@"
