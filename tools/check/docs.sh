#!/bin/sh
# docs.sh WEIR write|check: the generated documents under docs/, written anew or compared.
set -eu
cd "$(dirname "$0")/../.."
weir=$1
status=0
for name in configuration errors metrics providers; do
    file=docs/$name.md
    if [ "$2" = write ]; then
        "$weir" docs "$name" >"$file"
    elif ! "$weir" docs "$name" | diff -u "$file" - >&2; then
        echo "$file is out of date; run make docs" >&2
        status=1
    fi
done
exit $status
