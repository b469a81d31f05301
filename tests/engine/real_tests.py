"""The supervisor with a real llama-server and a model whose answers are known."""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

from harness import Driver, Skip, UnixConnection, alive, ask, group, until

TESTS = []
PROMPT = "the m"
models = {}
making = threading.Lock()


def test(fn):
    TESTS.append(fn)
    return fn


def server():
    path = os.environ.get("WEIR_LLAMA_SERVER", "")
    if not path:
        raise Skip("WEIR_LLAMA_SERVER does not name a llama-server")
    return path


def model(options, *shape):
    """A synthetic model, made once."""
    with making:
        if shape not in models:
            folder = options.scratch
            path = os.path.join(folder, f"model-{len(models)}.gguf")
            subprocess.run([options.synth, "-o", path, *shape], check=True)
            models[shape] = path
        return models[shape]


def real(options, *args, name="e", shape=(), **more):
    binary = server()
    return dict({"name": name, "model": model(options, *shape), "binary": binary, "args": list(args)}, **more)


def complete(path):
    status, answer = ask(path, "POST", "/completion",
                         {"prompt": PROMPT, "n_predict": 20, "temperature": 0, "cache_prompt": True})
    assert status == 200, (status, answer)
    return answer["content"]


def expected(options):
    out = subprocess.run([options.synth, "--predict", PROMPT, "20"], check=True, capture_output=True)
    return out.stdout.decode().rstrip("\n")


@test
def ready_chat_stop(options):
    with Driver(options.driver) as d:
        start = time.monotonic()
        d.apply(real(options, slots=3, cache_ram_mib=5))
        row = d.wait("ready")
        print(f"  ready after {row['start_ms']} ms ({1e3 * (time.monotonic() - start):.0f} ms seen from outside)")
        status, answer = ask(d.socket(), "POST", "/v1/chat/completions",
                             {"messages": [{"role": "user", "content": "the weir"}], "max_tokens": 8, "temperature": 0})
        assert status == 200 and answer["choices"][0]["message"]["content"], answer
        assert complete(d.socket()) == expected(options)
        props = ask(d.socket(), "GET", "/props")[1]
        assert props["total_slots"] == 3, props
        assert ask(d.socket(), "GET", "/")[0] == 404  # no web page
        took = d.stop()
        print(f"  stopped after {1e3 * took:.0f} ms")
        assert took < 1.5 and not group(row["pid"]) and not os.path.exists(d.socket()), took


@test
def slots_share_the_context(options):
    with Driver(options.driver) as d:
        d.apply(real(options, slots=4, context=4096))
        d.wait("ready")
        assert ask(d.socket(), "GET", "/props")[1]["default_generation_settings"]["n_ctx"] == 4096


@test
def killed_engine_answers_again(options):
    with Driver(options.driver) as d:
        d.apply(real(options))
        row = d.wait("ready")
        start = time.monotonic()
        os.kill(row["pid"], signal.SIGKILL)
        until("another pid", lambda: d.engine()["pid"] not in (0, row["pid"]), 5)
        d.wait("ready")
        print(f"  ready again {1e3 * (time.monotonic() - start):.0f} ms after kill -9")
        assert complete(d.socket()) == expected(options)


@test
def killed_weir_leaves_nothing(options):
    with Driver(options.driver) as d:
        d.apply(real(options), real(options, name="f"))
        pids = d.wait("ready")["pid"], d.wait("ready", "f")["pid"]
        assert all(group(pid) for pid in pids)
        start = time.monotonic()
        d.kill()
        until("both groups are gone", lambda: not any(group(pid) for pid in pids), 3)
        print(f"  nothing left {1e3 * (time.monotonic() - start):.0f} ms after kill -9")


def open_stream(path):
    """A stream of which the first event has come."""
    conn = UnixConnection(path)
    conn.request("POST", "/v1/completions", json.dumps({"prompt": "t", "max_tokens": 8000, "stream": True,
                                                        "ignore_eos": True}), {"Content-Type": "application/json"})
    answer = conn.getresponse()
    assert answer.status == 200 and answer.readline().startswith(b"data: "), answer.status
    return conn, answer


@test
def stop_with_an_open_stream(options):
    with Driver(options.driver) as d:
        d.apply(real(options, shape=("--layers", "8", "--embd", "512", "--ff", "2048")))
        pid = d.wait("ready")["pid"]
        conn, answer = open_stream(d.socket())
        took = d.stop()
        print(f"  stopped after {1e3 * took:.0f} ms")
        assert took < 3 and not group(pid), took
        try:
            rest = answer.read()
        except http.client.IncompleteRead as cut:
            rest = cut.partial
        assert b"[DONE]" not in rest
        conn.close()


@test
def stop_waits_for_what_is_open(options):
    with Driver(options.driver) as d:
        d.apply(real(options, drain_ms=10000))
        pid = d.wait("ready")["pid"]
        assert d.ask("take", engine="e") == "taken"
        d.send(do="stop")
        time.sleep(0.5)
        assert alive(pid) and complete(d.socket()) == expected(options)
        d.ask("give", engine="e")
        start = time.monotonic()
        d.answer("stopped")
        assert time.monotonic() - start < 1.5 and not alive(pid)


@test
def stale_socket(options):
    with Driver(options.driver) as d:
        open(d.socket(), "w", encoding="utf-8").close()
        d.apply(real(options))
        assert d.wait("ready")["restarts"] == 0


def reason_for(options, config):
    with Driver(options.driver) as d:
        d.apply(config)
        return d.wait("backoff")["reason"]


@test
def reasons_are_clear(options):
    with tempfile.TemporaryDirectory() as folder:
        bad, cut = os.path.join(folder, "bad.gguf"), os.path.join(folder, "cut.gguf")
        with open(bad, "wb") as f:
            f.write(b"this is no model" * 100)
        with open(cut, "wb") as f, open(model(options), "rb") as whole:
            f.write(whole.read(300000))
        cases = [(dict(model="/nonexistent.gguf"), "No such file or directory"), (dict(model=bad), "magic"),
                 (dict(model=cut), "not within the file bounds"), (dict(args=["--no-such"]), "invalid argument: --no-such")]
        for change, text in cases:
            reason = reason_for(options, dict(real(options), **change))
            print(f"  {reason}")
            assert reason.startswith("exited with code 1: ") and text in reason, reason


@test
def six_at_once(options):
    names = "abcdef"
    with Driver(options.driver) as d:
        start = time.monotonic()
        d.apply(*(real(options, name=name) for name in names))
        for name in names:
            d.wait("ready", name)
        print(f"  six ready after {1e3 * (time.monotonic() - start):.0f} ms")
        pids = [d.engine(name)["pid"] for name in names]
        took = d.stop()
        print(f"  six stopped after {1e3 * took:.0f} ms")
        assert took < 3 and not any(group(pid) for pid in pids), took
