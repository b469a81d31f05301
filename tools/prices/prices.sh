#!/bin/sh
# prices.sh WEIR: writes src/policy/price_table.inc anew from the newest @pydantic/genai-prices, and what
# models can do from the newest litellm. WEIR, the binary, does the reading and checking, as it does for
# `weir prices update`.
set -eu
weir=$(realpath "$1")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "Fetching @pydantic/genai-prices"
npm install --prefix "$work" --no-audit --no-fund --loglevel=error @pydantic/genai-prices
node tools/prices/extract.mjs "$work" >"$work/data.json"
"$weir" prices update --data "$work" "$work/data.json"
echo "Fetching litellm"
python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$work" litellm
python3 -m zipfile -e "$work"/litellm-*.whl "$work/litellm"
python3 tools/prices/abilities.py "$work/prices.json" \
  "$work/litellm/litellm/model_prices_and_context_window_backup.json"
"$weir" prices update --data "$work/checked" "$work/prices.json"
python3 tools/prices/table.py "$work/prices.json" >"$work/price_table.inc"
mv "$work/price_table.inc" src/policy/price_table.inc
