#!/bin/sh
# `make test`: builds with sanitizers and runs every test, one line a suite, and the details of what
# failed. Suites that need a local engine wait for it while others run.
set -u
cd "$(dirname "$0")/../.."
failed=""
out=build/test-logs
mkdir -p "$out"
began=$(date +%s)
dev=build/dev/src/cli/weir
tsan=build/tsan/src/cli/weir

elapsed() {
    echo $(($(date +%s) - began))
}

# suite NAME COMMAND...: runs it with its output in a file.
suite() {
    name=$1
    shift
    printf '  %-28s' "$name"
    from=$(date +%s)
    if "$@" >"$out/$name.log" 2>&1; then
        echo "ok ($(($(date +%s) - from)) s)  $(tail -n 1 "$out/$name.log" | cut -c1-70)"
    else
        echo "FAILED ($(($(date +%s) - from)) s), see $out/$name.log"
        grep -A 16 -E '^(FAIL|not ok|\*\*\*|.*(error|Error|ERROR): )' "$out/$name.log" | head -n 60 | cut -c1-200 | sed 's/^/      /'
        failed="$failed $name"
    fi
}

echo "make test: building with sanitizers (build/dev, build/tsan), then every suite"
# The engine takes minutes to build on a new machine; it is built at low priority beside the rest.
(nice -n 5 tools/engine/get-engine.sh >"$out/engine.path" 2>"$out/engine.log" &&
    tools/engine/get-model.sh >"$out/model.path" 2>>"$out/engine.log") &
engine=$!

tools/setup/build.sh dev || exit 1
suite unit ctest --test-dir build/dev --output-on-failure -j 2 -E '^engine$'
suite harness python3 tests/scenario/run.py --self-test
suite scenarios python3 tests/scenario/run.py --weir $dev --jobs 3 --slack 3
suite http-cases python3 tests/http/cases.py --weir $dev
suite commands python3 tests/cli/run.py --weir $dev
suite operations python3 tests/ops/run.py --weir $dev --slack 3
suite routing python3 tests/routing/run.py --weir $dev --slack 3 --quick
suite books python3 tests/books/run.py --weir $dev --tools build/dev/tests/books --exchanges 20000 --self-check
suite matrix python3 tests/matrix/run.py --weir $dev --check --slack 3
suite deploy python3 tests/deploy/run.py --weir $dev
suite sdk python3 tests/sdk/run.py --weir $dev
suite check tools/check/check.sh

tools/setup/build.sh tsan || exit 1
TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp"
export TSAN_OPTIONS
# Kernels that randomize more than 28 bits of addresses leave older ThreadSanitizers no room.
fixed=""
setarch -R true 2>/dev/null && fixed="setarch -R"
suite unit-threads $fixed ctest --test-dir build/tsan --output-on-failure -j 2 -E '^(engine|golden|replay_.*)$'
suite scenarios-threads $fixed python3 tests/scenario/run.py --weir $tsan --jobs 3 --slack 5

printf '  %-28s' "local engine and model"
if wait $engine; then
    echo "ok ($(elapsed) s since the start)"
    WEIR_LLAMA_SERVER=$(tail -n 1 "$out/engine.path")
    WEIR_MODEL=$(tail -n 1 "$out/model.path")
    export WEIR_LLAMA_SERVER WEIR_MODEL
    suite engines python3 tests/engine/run.py --driver build/dev/tests/engine/engine_driver --synth build/dev/tools/gguf/gguf-synth
    suite prefixes python3 tests/routing/run.py --weir $dev --slack 3 --filter prefix_cases --synth build/dev/tools/gguf/gguf-synth
    suite quickstart python3 tests/sdk/quickstart.py --weir $dev
else
    echo "FAILED, see $out/engine.log"
    failed="$failed engine"
fi

echo "$(elapsed) s in all"
if [ -n "$failed" ]; then
    echo "make test failed:$failed"
    exit 1
fi
echo "make test passed"
