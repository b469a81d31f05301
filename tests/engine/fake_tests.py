"""The supervisor against an engine that misbehaves to order."""

import json
import os
import signal
import time

from harness import FAKE, Driver, alive, ask, child_pids, fake, group, lines_of, until

TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


def slow_test(fn):
    fn.slow = True
    return test(fn)


def metric(driver, name, engine="e"):
    for line in driver.ask("metrics").splitlines():
        if line.startswith(f'{name}{{engine="{engine}"}} '):
            return float(line.rpartition(" ")[2])
    return None


@test
def ready_and_stopped(program):
    with Driver(program) as d:
        assert d.ask("metrics") == ""
        d.apply(fake(slots=2))
        assert d.ask("gate", engine="e") == "starting"
        row = d.wait("ready")
        assert d.ask("gate", engine="e") == "open"
        assert row["restarts"] == 0 and row["reason"] == "" and row["slots"] == 2, row
        assert ask(d.socket(), "GET", "/health")[0] == 200
        assert os.stat(d.socket()).st_mode & 0o077 == 0
        assert metric(d, "weir_engine_up") == 1 and metric(d, "weir_engine_restarts_total") == 0
        assert metric(d, "weir_engine_rss_bytes") > 1e6 and 0 < metric(d, "weir_engine_start_seconds") < 20
        took = d.stop()
        assert took < 2, took
        assert not group(row["pid"]) and not os.path.exists(d.socket())


@test
def requests_wait_for_the_start(program):
    with Driver(program) as d:
        starts = d.path("starts")
        config = fake("--fake-ready-after", "0.5", "--fake-starts", starts, slots=2, queue=3)
        d.apply(config)
        d.apply(config)  # as a reload in between: still one start
        results = [d.ask("take", engine="e") for _ in range(4)]
        assert results == ["waiting"] * 3 + ["refused"], results
        assert d.answer("granted") == "yes" and d.answer("granted") == "yes"  # as many as there are slots
        row = d.wait("ready")
        assert (row["in_flight"], row["waiting"]) == (2, 1), row
        d.send(do="give", engine="e")
        answers = [d.answers.get(timeout=5), d.answers.get(timeout=5)]
        assert {"granted": "yes"} in answers, answers
        assert len(lines_of(starts)) == 1
        for _ in range(2):
            d.ask("give", engine="e")


@test
def slow_start_that_shows_progress(program):
    with Driver(program) as d:
        d.apply(fake("--fake-ready-after", "3", "--fake-chatter", "0.2", start_timeout_ms=1000))
        row = d.wait("ready")
        assert row["restarts"] == 0 and row["start_ms"] >= 3000, row


@test
def start_without_progress(program):
    with Driver(program) as d:
        d.apply(fake("--fake-no-socket", start_timeout_ms=1000))
        pid = until("a pid", lambda: d.engine()["pid"], 5)
        row = d.wait("backoff")
        assert "no sign of progress" in row["reason"], row
        assert not group(pid)
        assert d.ask("gate", engine="e") == "starting"
        d.wait("starting")


@test
def start_that_never_ends(program):
    with Driver(program) as d:
        start = time.monotonic()
        d.apply(fake("--fake-no-socket", "--fake-chatter", "0.1", start_timeout_ms=500))
        row = d.wait("backoff")
        assert "not ready" in row["reason"], row
        assert 5 <= time.monotonic() - start < 8, time.monotonic() - start


@test
def crash_loop(program):
    with Driver(program) as d:
        starts = d.path("starts")
        d.apply(fake("--fake-no-socket", "--fake-exit-after", "0.05:3", "--fake-starts", starts))
        assert d.ask("take", engine="e") == "waiting"
        assert d.answer("granted", 30) == "yes"  # woken, to be refused
        row = d.wait("failed")
        assert row["reason"] == "exited with code 3: E fake: an error before the end", row
        assert len(lines_of(starts)) == 5 and row["restarts"] == 4, row
        assert d.ask("gate", engine="e") == "failed"
        assert d.ask("take", engine="e") == "failed"
        pauses = [int(t.split()[-2]) for t in d.texts() if t.startswith(("engine.backoff", "engine.failed"))]
        assert pauses == [500, 1000, 2000, 4000, 60000], pauses
        good = fake("--fake-starts", starts)
        d.apply(good)  # the configuration was put right
        row = d.wait("ready")
        assert len(lines_of(starts)) == 6 and d.ask("gate", engine="e") == "open"
        d.ask("give", engine="e")


@slow_test
def failed_engine_recovers_by_itself(program):
    with Driver(program) as d:
        binary = d.path("llama-server")
        d.apply(fake("--fake-ready-after", "1", binary=binary))
        d.wait("failed", seconds=30)
        os.symlink(FAKE, binary)  # it is installed only now
        d.wait("retrying", seconds=70)
        assert d.ask("gate", engine="e") == "failed" and d.ask("take", engine="e") == "failed"
        d.wait("ready")
        assert d.ask("gate", engine="e") == "open"


@test
def reload_cuts_a_pause_short(program):
    with Driver(program) as d:
        starts = d.path("starts")
        config = fake("--fake-no-socket", "--fake-exit-after", "0.05", "--fake-starts", starts)
        d.apply(config)
        until("four starts", lambda: len(lines_of(starts)) == 4, 20)
        d.wait("backoff")  # for 4 s
        begin = time.monotonic()
        d.apply(config)
        until("the fifth start", lambda: len(lines_of(starts)) == 5, 5)
        assert time.monotonic() - begin < 3, time.monotonic() - begin
        d.wait("backoff")
        assert "next start in 500 ms" in [t for t in d.texts() if "engine.backoff" in t][-1], d.texts()


@test
def killed_engine_starts_again(program):
    with Driver(program) as d:
        d.apply(fake())
        row = d.wait("ready")
        os.kill(row["pid"], signal.SIGKILL)
        broken = d.wait("backoff", seconds=5)
        assert broken["reason"].startswith("ended by signal 9"), broken
        assert broken["pid"] == 0 and d.ask("gate", engine="e") == "starting"
        again = d.wait("ready", seconds=5)
        assert again["restarts"] == 1 and again["pid"] != row["pid"], again
        assert metric(d, "weir_engine_restarts_total") == 1


@test
def sigterm_is_ignored(program):
    with Driver(program) as d:
        d.apply(fake("--fake-ignore-term"))
        pid = d.wait("ready")["pid"]
        took = d.stop()
        assert 1.9 < took < 3.5, took
        assert not group(pid)


@test
def children_of_the_engine_end_with_it(program):
    with Driver(program) as d:
        children = d.path("children")
        d.apply(fake("--fake-child", children))
        pid = d.wait("ready")["pid"]
        first = int(until("a child", lambda: lines_of(children), 5)[0])
        os.kill(pid, signal.SIGKILL)
        until("the child is gone", lambda: not alive(first), 2)
        pid = d.wait("ready", seconds=5)["pid"]
        second = int(until("a second child", lambda: lines_of(children)[1:], 5)[0])
        assert alive(second)
        took = d.stop()
        assert took < 2 and not alive(second) and not group(pid), took


@test
def deaf_engine_is_replaced(program):
    with Driver(program) as d:
        deaf = d.path("deaf")
        d.apply(fake("--fake-deaf-when", deaf))
        pid = d.wait("ready")["pid"]
        open(deaf, "w", encoding="utf-8").close()
        row = d.wait("backoff", seconds=30)
        assert "unhealthy 3 times in a row: no answer to /health" in row["reason"], row
        assert not alive(pid)
        os.unlink(deaf)
        d.wait("ready")


@test
def nothing_outlives_a_killed_weir(program):
    with Driver(program) as d:
        children = d.path("children")
        d.apply(fake("--fake-child", children, "--fake-ignore-term"), fake(name="f"))
        first, second = d.wait("ready")["pid"], d.wait("ready", "f")["pid"]
        child = int(until("a child", lambda: lines_of(children), 5)[0])
        shims = child_pids(d.process.pid)
        assert len(shims) == 2 and len(group(first)) == 2, (shims, group(first))
        assert d.ask("owns", pid=shims[0]) == "yes" and d.ask("owns", pid=first) == "no"
        d.kill()
        until("all is gone", lambda: not group(first) and not group(second), 3)
        until("the shims are gone", lambda: not any(alive(pid) for pid in shims + [child]), 3)


@test
def nothing_outlives_a_killed_shim(program):
    with Driver(program) as d:
        children = d.path("children")
        d.apply(fake("--fake-child", children))
        pid = d.wait("ready")["pid"]
        until("a child", lambda: lines_of(children), 5)
        os.kill(d.process.pid, signal.SIGSTOP)
        os.kill(child_pids(d.process.pid)[0], signal.SIGKILL)
        until("the kernel has ended the engine itself", lambda: not alive(pid), 2)
        os.kill(d.process.pid, signal.SIGCONT)
        row = d.wait("backoff", seconds=5)
        assert row["reason"] == "its shim has ended" and not group(pid), row
        d.wait("ready")


@test
def shim_that_hangs(program):
    with Driver(program) as d:
        d.apply(fake())
        pid = d.wait("ready")["pid"]
        shim = child_pids(d.process.pid)[0]
        os.kill(shim, signal.SIGSTOP)
        took = d.stop()
        assert 3.9 < took < 6 and not alive(pid) and not alive(shim), took
        assert any(t.startswith("engine.stuck") for t in d.texts()), d.texts()


@test
def stop_while_it_starts(program):
    with Driver(program) as d:
        d.apply(fake("--fake-no-socket"))
        pid = until("a pid", lambda: d.engine()["pid"], 5)
        took = d.stop()
        assert took < 2 and not group(pid), took
    with Driver(program) as d:
        d.apply(fake("--fake-no-socket"))
        assert d.stop() < 3


@test
def freed_without_a_stop(program):
    with Driver(program) as d:
        d.apply(fake("--fake-ignore-term"))
        pid = d.wait("ready")["pid"]
        d.ask("free")
        d.process.wait(5)
        until("the engine is gone", lambda: not group(pid), 3)


@test
def changed_engine_drains_first(program):
    with Driver(program) as d:
        starts = d.path("starts")
        d.apply(fake("--fake-starts", starts, slots=1, drain_ms=20000))
        pid = d.wait("ready")["pid"]
        assert d.ask("take", engine="e") == "taken"
        d.apply(fake("--fake-starts", starts, "--fake-ready-after", "0.1", slots=1, drain_ms=20000))
        assert d.engine()["state"] == "draining"
        assert d.ask("take", engine="e") == "waiting"
        time.sleep(0.3)
        assert d.engine()["state"] == "draining" and alive(pid)
        d.ask("give", engine="e")
        assert d.answer("granted") == "yes"
        row = d.wait("ready")
        assert row["pid"] != pid and len(lines_of(starts)) == 2 and not alive(pid), row
        d.ask("give", engine="e")


@test
def drain_has_a_deadline(program):
    with Driver(program) as d:
        d.apply(fake(slots=1, drain_ms=500))
        pid = d.wait("ready")["pid"]
        assert d.ask("take", engine="e") == "taken"
        start = time.monotonic()
        d.apply()
        until("the engine is gone", lambda: not alive(pid), 5)
        assert 0.4 < time.monotonic() - start < 2, time.monotonic() - start
        d.ask("give", engine="e")


@test
def removed_and_wanted_again(program):
    with Driver(program) as d:
        starts = d.path("starts")
        config = fake("--fake-starts", starts, slots=1, drain_ms=20000)
        d.apply(config)
        pid = d.wait("ready")["pid"]
        assert d.ask("take", engine="e") == "taken"
        d.apply()
        assert d.engine()["state"] == "draining" and d.ask("gate", engine="e") == "failed"
        d.apply(config)  # before it has ended: it stays
        assert d.engine()["state"] == "ready" and d.ask("gate", engine="e") == "open"
        d.ask("give", engine="e")
        d.apply()
        until("it is forgotten", lambda: d.engine() is None, 5)
        assert not alive(pid) and len(lines_of(starts)) == 1
        d.apply(config)
        d.wait("ready")
        assert len(lines_of(starts)) == 2


@test
def only_what_needs_it_restarts(program):
    with Driver(program) as d:
        d.apply(fake(slots=2, queue=1), fake(name="f"))
        pids = d.wait("ready")["pid"], d.wait("ready", "f")["pid"]
        d.apply(fake(slots=2, queue=5, drain_ms=1, start_timeout_ms=9000), fake(name="f", slots=3))
        d.wait("ready", "f")
        assert d.engine()["pid"] == pids[0] and d.engine("f")["pid"] != pids[1]
        assert d.engine("f")["slots"] == 3


def json_of(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


@test
def environment_and_arguments(program):
    secrets = {"OPENAI_API_KEY": "sk-secret", "WEIR_ADMIN_TOKEN": "secret", "HF_TOKEN": "secret", "LLAMA_API_KEY": "secret",
               "LLAMA_ARG_HOST": "0.0.0.0", "PATHOLOGY": "secret", "GGML_X": "passes", "CUDA_VISIBLE_DEVICES": "0",
               "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    with Driver(program, secrets) as d:
        seen = d.path("seen")
        d.apply(fake("--fake-env", seen, threads=3, slots=5, context=4096, cache_ram_mib=77))
        d.wait("ready")
        saw = json_of(seen)
        assert saw["argv"] == [FAKE, "-m", "model.gguf", "--alias", "e", "--host", d.socket(), "-t", "3", "-np", "5",
                               "-c", "4096", "--fake-env", seen], saw["argv"]
        assert not any("secret" in value for value in saw["env"].values()), saw["env"]
        passed = {"GGML_X": "passes", "CUDA_VISIBLE_DEVICES": "0", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1",
                  "LLAMA_ARG_CACHE_RAM": "77", "LLAMA_ARG_UI": "0", "LLAMA_ARG_OFFLINE": "1", "LLAMA_ARG_JINJA": "1"}
        assert passed.items() <= saw["env"].items() and "LLAMA_ARG_HOST" not in saw["env"], saw["env"]
        assert saw["oom_score"] == 500, saw
        assert saw["fds"][:3] == [0, 1, 2] and len(saw["fds"]) <= 5, saw  # one is the open file, one the folder


@test
def all_cores_without_a_number(program):
    with Driver(program) as d:
        seen = d.path("seen")
        d.apply(fake("--fake-env", seen, threads=0))
        d.wait("ready")
        words = json_of(seen)["argv"]
        threads = int(words[words.index("-t") + 1])
        assert 1 <= threads <= len(os.sched_getaffinity(0)), threads


@test
def llama_is_run_as_llama_serve(program):
    with Driver(program) as d:
        llama, seen = d.path("llama"), d.path("seen")
        os.symlink(FAKE, llama)
        d.apply(fake("--fake-env", seen, binary=llama))
        d.wait("ready")
        assert json_of(seen)["argv"][:3] == [llama, "serve", "-m"]


@test
def binary_that_cannot_be_run(program):
    with Driver(program) as d:
        d.apply(fake(binary="/nonexistent/llama-server"))
        row = d.wait("backoff")
        assert row["reason"] == "cannot run /nonexistent/llama-server: No such file or directory", row


@test
def socket_path_too_long(program):
    with Driver(program) as d:
        name = "n" * 100
        assert d.ask("socket", engine=name) == "" and d.ask("socket", engine="e") == d.socket()
        assert d.ask("socket", engine="a/b") == "" and d.ask("socket", engine="a,b") == ""
        d.apply(fake(name=name))
        assert "too long" in d.wait("backoff", name)["reason"]


@test
def stale_socket_file(program):
    with Driver(program) as d:
        open(d.socket(), "w", encoding="utf-8").close()
        d.apply(fake())
        assert d.wait("ready")["restarts"] == 0


def program_file(path, text="#!/bin/sh\nexit 0\n"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, 0o755)


@test
def finding_a_binary(program):
    def find(env, binary=""):
        with Driver(program, env) as d:
            d.send(do="find", binary=binary)
            return d.answers.get(timeout=20)

    with Driver(program) as d:
        bin1, bin2, cache = d.path("bin1"), d.path("bin2"), d.path("cache")
        path = f"{bin1}:{bin2}:/usr/bin:/bin"
        env = {"PATH": path, "WEIR_CACHE": cache}
        os.makedirs(bin1)
        missing = find(env)
        assert cache in missing["missing"] and "llama-server" in missing["missing"], missing
        for i, version in enumerate(["2", "10", "9"]):
            program_file(f"{cache}/engine/{version}/llama-server")
            os.utime(f"{cache}/engine/{version}/llama-server", (1000 + i, 1000 + i))
        program_file(f"{cache}/engine/broken/llama-server")
        os.chmod(f"{cache}/engine/broken/llama-server", 0o644)
        assert find(env) == {"found": f"{cache}/engine/9/llama-server"}, find(env)
        xdg = {"PATH": path, "WEIR_CACHE": "", "XDG_CACHE_HOME": d.path("xdg")}
        program_file(d.path("xdg") + "/weir/engine/1/llama-server")
        assert find(xdg) == {"found": d.path("xdg") + "/weir/engine/1/llama-server"}
        program_file(f"{bin1}/llama", "#!/bin/sh\nexit 1\n")  # something else of that name
        assert find(env)["found"].startswith(cache)
        os.symlink(FAKE, f"{bin2}-llama")
        os.unlink(f"{bin1}/llama")
        os.makedirs(bin2)
        os.symlink(FAKE, f"{bin2}/llama")
        assert find(env) == {"found": f"{bin2}/llama"}, find(env)
        program_file(f"{bin2}/llama-server")
        assert find(env) == {"found": f"{bin2}/llama-server"}
        assert find(env, f"{bin2}/llama") == {"found": f"{bin2}/llama"}
        assert find(env, "llama") == {"found": f"{bin2}/llama"}
        assert find(env, "no-such") == {"missing": "there is no program no-such on PATH"}
        assert find(env, "/no/such") == {"missing": "/no/such is not a program that can be run"}
