#!/bin/sh
# quickstart.sh WEIR: gets a local engine and a model, starts Weir with config/quickstart.yaml, shows
# a first streamed answer, says how to use it, and stays until it is stopped.
set -eu
cd "$(dirname "$0")/../.."
weir=$1

# Without a pipe, so that a failure ends this script; each has said why.
engine=$(tools/engine/get-engine.sh)
model=${WEIR_MODEL:-$(tools/engine/get-model.sh)}
WEIR_LLAMA_SERVER=$(printf '%s\n' "$engine" | tail -n 1)
WEIR_MODEL=$(printf '%s\n' "$model" | tail -n 1)
WEIR_LISTEN=${WEIR_LISTEN:-127.0.0.1:8080}
export WEIR_LLAMA_SERVER WEIR_MODEL WEIR_LISTEN
url=http://$WEIR_LISTEN/v1

# Else its answers would be taken for those of the Weir that is about to be started.
if curl -s -o /dev/null --max-time 5 "http://$WEIR_LISTEN/livez"; then
    echo "Something serves at $WEIR_LISTEN already. Set WEIR_LISTEN to another address." >&2
    exit 1
fi

"$weir" serve --config config/quickstart.yaml &
server=$!
chat=''
stop() {
    # shellcheck disable=SC2086
    kill -TERM $chat "$server" 2>/dev/null || true
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
    [ $tries -lt 200 ] || {
        echo "Weir started, but is not ready after 10 seconds; see above." >&2
        stop 1
    }
    sleep 0.05
done

echo
echo "An answer from the local model, through Weir:"
echo
"$weir" chat --url "$url" --model chat --once --max-tokens 100 "Say hello and name three rivers." &
chat=$! # in the background: a shell takes signals only while it waits itself
wait "$chat" || stop 1
chat=''
cat <<EOT

Weir serves at $url (a local model: chat; hosted ones by provider/model when their key is set).

  curl $url/chat/completions -H 'Content-Type: application/json' \\
       -d '{"model":"chat","messages":[{"role":"user","content":"Hello"}],"max_tokens":100,"stream":true}'

  OpenAI SDK:  client = OpenAI(base_url="$url", api_key="none")
  Terminal:    $weir chat --url $url

It stays up until Ctrl-C.
EOT
wait "$server"
