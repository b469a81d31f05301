#!/bin/sh
# quickstart.sh WEIR: gets a local engine and a model, starts Weir with config/quickstart.yaml, shows
# a first streamed answer, says how to use it, and stays until it is stopped.
set -eu
cd "$(dirname "$0")/../.."
weir=$1
began=$(date +%s)

WEIR_LLAMA_SERVER=$(tools/engine/get-engine.sh | tail -n 1)
WEIR_MODEL=$(tools/engine/get-model.sh | tail -n 1)
WEIR_LISTEN=${WEIR_LISTEN:-127.0.0.1:8080}
export WEIR_LLAMA_SERVER WEIR_MODEL WEIR_LISTEN
url=http://$WEIR_LISTEN/v1

"$weir" serve --config config/quickstart.yaml &
server=$!
stop() {
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    exit "$1"
}
trap 'stop 0' INT TERM HUP

tries=0
until curl -sf "http://$WEIR_LISTEN/readyz" >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || {
        echo "Weir did not start; see above. Is $WEIR_LISTEN in use? Set WEIR_LISTEN to another address." >&2
        exit 1
    }
    tries=$((tries + 1))
    [ $tries -lt 200 ] || stop 1
    sleep 0.05
done

if [ $(($(date +%s) - began)) -gt 5 ] || [ -n "${WEIR_SHOW_FIRST:-}" ]; then
    echo
    echo "A first answer from the local model, through Weir:"
    echo
fi
"$weir" chat --url "$url" --model chat --once "Say hello and name three rivers." || stop 1
cat <<EOT

Weir serves at $url (a local model: chat; hosted ones by provider/model when their key is set).

  curl $url/chat/completions -H 'Content-Type: application/json' \\
       -d '{"model":"chat","messages":[{"role":"user","content":"Hello"}],"stream":true}'

  OpenAI SDK:  client = OpenAI(base_url="$url", api_key="none")
  Terminal:    $weir chat --url $url

It stays up until Ctrl-C.
EOT
wait "$server"
