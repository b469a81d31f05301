"""Failures: every error has the class and the fields that programs look at, and no broken stream
looks whole."""

import socket
import time

import httpx2
import openai
from kit import (HELLO, NAME, SOLO, WORDS, alone, between, case, equal, model, raises, seen, true)
from openai import (APIConnectionError, APIError, AuthenticationError, BadRequestError,
                    InternalServerError, NotFoundError, RateLimitError)
from openai_sdk import client, text_of


def ask(own, name, **more):
    return own.chat.completions.create(model=name, messages=HELLO, **more)


@case
def error_401_wrong_key():
    own = client(api_key="wk-sdk-0123456789abcdee")
    for call in (lambda: ask(own, "chat"), lambda: list(ask(own, "chat", stream=True)),
                 own.models.list, lambda: own.embeddings.create(model="chat", input="x")):
        error = raises(AuthenticationError, call)
        equal((error.status_code, error.code, error.type),
              (401, "invalid_api_key", "invalid_request_error"))
        true("abcdee" not in str(error), "the key is in the message")
        true(error.request_id, "request_id")


@case
def error_401_without_a_key():
    bare = {"Authorization": openai.Omit()}
    error = raises(AuthenticationError, lambda: ask(client(), "chat", extra_headers=bare))
    equal(error.code, "missing_api_key")


@case
def error_404_unknown_model():
    for stream in (False, True):
        error = raises(NotFoundError, lambda: ask(client(), "chatt", stream=stream))
        equal((error.status_code, error.code, error.param, error.type),
              (404, "model_not_found", "model", "invalid_request_error"))
        true("`chatt`" in error.message and "`chat`" in error.message, error.message)


@case
def error_404_of_the_upstream():
    error = raises(NotFoundError, lambda: ask(client(), "up/nothing-like-it"))
    equal(error.code, "model_not_found")


@case
def error_404_path():
    raises(NotFoundError, lambda: client().post("/nothing", cast_to=object, body={}))


@case
def error_400_ambiguous_model():
    error = raises(BadRequestError, lambda: ask(client(), "shared"))
    equal((error.status_code, error.param), (400, "model"))
    true("up/shared" in error.message and "other/shared" in error.message, error.message)


@case
def error_400_of_the_upstream():
    name = model("picky")
    error = raises(BadRequestError, lambda: ask(client(), name, temperature=1.9))
    equal((error.status_code, error.param, error.code, error.type),
          (400, "temperature", "unsupported_value", "invalid_request_error"))
    true("does not support 9" in error.message, error.message)
    equal(len(seen(name)), 1, "requests")
    error = raises(BadRequestError, lambda: ask(client(), model("picky"), stream=True))
    equal(error.param, "temperature", "param of a stream")


@case
def error_400_of_weir():
    error = raises(BadRequestError, lambda: client().chat.completions.create(
        model=model("plain"), messages="no list", stream=False))
    equal((error.param, error.type), ("messages", "invalid_request_error"))


@case
def error_429_then_success():
    """The SDK waits as long as the provider said, and its second try goes through."""
    name, started = model("limited", ""), time.monotonic()
    answer = ask(client(base_url=f"{SOLO}/v1"), name)
    equal(answer.choices[0].message.content, WORDS)
    requests = seen(name)
    equal([r["headers"].get("x-stainless-retry-count") for r in requests], ["0", "1"])
    between(requests[1]["at"] - requests[0]["at"], 0.045, 0.3, "seconds between the tries")
    between(time.monotonic() - started, 0.05, 2.0, "seconds")


@case
def error_429_then_success_in_a_stream():
    name = model("limited")
    equal(text_of(ask(client(), name, stream=True)), WORDS)
    equal(len(seen(name)), 2, "requests")


@case
def error_429_exhausted():
    name = model("always-limited")
    error = raises(RateLimitError, lambda: ask(client(), name))
    equal((error.status_code, error.code, error.type), (429, "rate_limit_exceeded", "requests"))
    equal(error.response.headers["retry-after-ms"], "50")
    equal(error.response.headers["x-ratelimit-limit-requests"], "60")
    equal(len(seen(name)), 3, "requests: one and two retries")


@case
def error_500_twice_then_success():
    name = model("flaky")
    equal(ask(client(), name).choices[0].message.content, WORDS)
    equal(len(seen(name)), 3, "requests")


@case
def error_500_twice_within_weir():
    """Weir has three targets: two fail, the third answers, and the SDK sees nothing of it."""
    raw = client().chat.completions.with_raw_response.create(model=f"flaky-{NAME}", messages=HELLO)
    equal(raw.parse().choices[0].message.content, WORDS)
    equal(raw.headers["x-weir-attempts"], "3")
    equal(len(seen(f"flaky@{NAME}")), 3, "requests")


@case
def error_500_after_weirs_own_retries():
    """All three targets failed: the SDK is told not to try the same again, and obeys."""
    for stream in (False, True):
        before = len(seen(f"broken@{NAME}"))
        error = raises(InternalServerError,
                       lambda: ask(client(max_retries=5), f"broken-{NAME}", stream=stream))
        equal(error.response.headers["x-should-retry"], "false")
        equal(error.response.headers["x-weir-attempts"], "3")
        equal(len(seen(f"broken@{NAME}")) - before, 3, "requests")


@case
def error_500_without_retries():
    name = model("flaky")
    error = raises(InternalServerError, lambda: ask(client(max_retries=0), name))
    true(500 <= error.status_code < 600 and error.message, repr(error))
    equal(len(seen(name)), 1, "requests")


@case
def error_401_of_the_upstream():
    """Weir's own key was refused: that is not the client's mistake."""
    error = raises(InternalServerError, lambda: ask(client(max_retries=0), model("locked")))
    equal((error.status_code, error.code), (502, "upstream_auth"))


@case
def error_504_slow_upstream():
    """Weir's limit, not the client's: a status, so that the SDK may try again."""
    error = raises(InternalServerError,
                   lambda: ask(client(max_retries=0), model("silent", "brief")))
    equal(error.status_code, 504)
    true(error.code and error.message, repr(error))


@case
def error_nobody_there():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        own = client(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1", max_retries=0)
        raises(APIConnectionError, lambda: ask(own, "chat"))


# A broken stream ends its connection. Where a pool hands that out once more before it has seen the
# end, a request is lost and sent again, so nothing that counts requests may run beside these.
def broken_stream(name):
    """(text so far, the error) of a stream that must not end well."""
    words = []
    try:
        for chunk in ask(client(), name, stream=True):
            words.append(chunk.choices[0].delta.content or "")
    except APIError as error:
        return "".join(words), error
    raise AssertionError(f"the stream ended as if it were complete: {''.join(words)!r}")


def raw_stream(name):
    with client().chat.completions.with_streaming_response.create(
            model=name, messages=HELLO, stream=True) as answer:
        data = b""
        try:
            for part in answer.iter_bytes():
                data += part
        except httpx2.HTTPError:
            pass
        return data


@case
def error_frame_in_a_stream():
    text, error = broken_stream(model("frame"))
    equal(text, "The weir ")
    true("out of memory" in error.message, error.message)
    equal((error.code, error.type), ("engine_failed", "server_error"))
    true(b"[DONE]" not in raw_stream(model("frame")), "[DONE] after an error")


@case
def stream_cut_by_the_upstream():
    """However the upstream ends without its [DONE], the client gets an error and all text so far."""
    for how in ("cut", "cut-reset", "cut-inside", "cut-clean"):
        text, error = broken_stream(model(how))
        equal(text, "The weir ", how)
        true(error.message and error.code, f"{how}: {error!r}")
        data = raw_stream(model(how))
        true(b"[DONE]" not in data and b'"error"' in data, f"{how}: {data[-300:]}")


@alone
def stream_stalled_by_the_upstream():
    started = time.monotonic()
    text, error = broken_stream(model("stall", "brief"))
    equal(text, "The weir ")
    between(time.monotonic() - started, 0.25, 1.0, "seconds until the error")
    true(error.message and error.code, repr(error))
