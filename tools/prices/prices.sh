#!/bin/sh
# prices.sh WEIR: writes src/policy/price_table.inc anew from the newest @pydantic/genai-prices. WEIR,
# the binary, does the reading and checking, as it does for `weir prices update`.
set -eu
weir=$(realpath "$1")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "Fetching @pydantic/genai-prices"
npm install --prefix "$work" --no-audit --no-fund --loglevel=error @pydantic/genai-prices
node tools/prices/extract.mjs "$work" >"$work/data.json"
"$weir" prices update --data "$work" "$work/data.json"
python3 tools/prices/table.py "$work/prices.json" >"$work/price_table.inc"
mv "$work/price_table.inc" src/policy/price_table.inc
