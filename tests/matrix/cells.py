"""One cell of the matrix: a client's dialect, a provider's wire, a feature, JSON or a stream."""

import copy
import dataclasses
import json

import lacks
from canon import difference, dumps, joined, normal
from features import result, user
from formats import anthropic, google, openai, responses
from mock import OUT_OF_CAPACITY
from strict import Bad
from wires import WIRES

DIALECTS = {"openai": openai, "responses": responses, "anthropic": anthropic, "google": google}
STATUSES = {400: (400,), 401: (502,), 404: (404,), 429: (429,), 500: (500, 502),
            503: (502, 503, 529)}
# What is left out of a request when a hint is dropped.
HINTS = {"seed": "seed", "user": "user", "tier": "tier", "cache_key": "cache_key", "effort": "effort",
         "parallel": "parallel"}


class Wrong(Exception):
    """What fails a cell."""


@dataclasses.dataclass
class Verdict:
    """`kind`: "pass", "dropped", "ignored", "refused", "n.a." or "FAIL"."""
    kind: str
    note: str = ""


@dataclasses.dataclass
class Cell:
    """What is known of a cell, and the means to play it."""
    clients: object
    mock: object
    dialect_name: str
    wire_name: str
    feature: object
    stream: bool

    @property
    def dialect(self):
        return DIALECTS[self.dialect_name]

    @property
    def wire(self):
        return WIRES[self.wire_name]

    @property
    def model(self):
        row = self.wire
        return (f"{row.thinker if self.feature.thinks else row.model}--{self.feature.name}--"
                f"{self.wire_name}-{self.dialect_name}-{'stream' if self.stream else 'json'}")

    def lack(self, table):
        """What this wire lacks of what the feature needs, by that table."""
        wire = self.wire_name
        if self.dialect_name == "responses" and self.wire.other[0]:
            wire = "responses"
        return [need for need in self.feature.needs
                if (wire, need) in table or (self.dialect_name, wire, need) in table]

    async def ask(self, request):
        model = f"{self.wire_name}/{self.model}"
        return await self.clients.ask(self.dialect.path(model, self.stream),
                                      self.dialect.write_request(request, model, self.stream))


async def play(cell):
    """The verdict of a cell."""
    if set(cell.feature.needs) & cell.dialect.CLIENT_LACKS or cell.lack(lacks.SILENT):
        return Verdict("n.a.")
    try:
        return await PLAYS[cell.feature.kind](cell)
    except (Bad, Wrong, ValueError, KeyError, TypeError, IndexError, AttributeError,
            OSError) as error:
        return Verdict("FAIL", f"{type(error).__name__}: {error}"[:600])
    except TimeoutError:
        return Verdict("FAIL", "no answer in time")


def last_record(cell):
    records = cell.mock.records.get(cell.model, [])
    if not records:
        return None
    if records[-1].fault:
        raise Wrong(f"the provider refuses: {records[-1].fault} -- {dumps(records[-1].call.body)[:700]}")
    return records[-1]


def read(cell, answer):
    """The answer of a stream or a whole, which has to be one."""
    if answer.status != 200:
        raise Wrong(f"status {answer.status}: {answer.body[:400].decode('utf-8', 'replace')}")
    if answer.cut:
        raise Wrong("the body is cut off")
    if not answer.headers.get("x-weir-request-id"):
        raise Wrong("no x-weir-request-id")
    kind = answer.headers.get("content-type") or ""
    if not kind.startswith("text/event-stream" if cell.stream else "application/json"):
        raise Wrong(f"content-type {kind}")
    if not cell.stream:
        return cell.dialect.read_answer(json.loads(answer.body))
    value, error = cell.dialect.read_stream(answer.events())
    if error:
        raise Wrong(f"the stream ends with an error: {error}")
    return value


# ---- What is expected.

def expected_request(cell):
    want = normal(cell.feature.request)
    for need in cell.lack(lacks.DROPPED):
        if need in HINTS:
            want.pop(HINTS[need], None)
        if need == "part cache":
            for message in want["messages"]:
                for part in message["parts"]:
                    part.pop("cache", None)
    want["messages"] = [{**m, "parts": joined(m["parts"])} for m in want["messages"]]
    return want


def comparable(request):
    request = normal(request)
    for message in request["messages"]:
        for part in message["parts"]:
            if "result" in part:
                part["result"].pop("name", None)
                part["result"].pop("error")
    if isinstance(request.get("effort"), int) and request["effort"] > 0:
        request["effort"] = "high"
    return request


def allow_same(want, got):
    """What is wanted becomes what says the same in another way, if that came."""
    choice, tools = want.get("choice"), got.get("tools")
    if choice == "none" and tools is None:
        del want["tools"], want["choice"]
    if isinstance(choice, dict) and got.get("choice") == "required":
        want["tools"] = [tool for tool in want["tools"] if tool["name"] == choice["name"]]
        want["choice"] = "required"
    if want.get("tier") == "default" and "tier" not in got:
        del want["tier"]


def check_request(cell, record):
    want, got = comparable(expected_request(cell)), comparable(record.request)
    if record.stream != cell.stream:
        raise Wrong(f"the provider was asked for {'a stream' if record.stream else 'JSON'}")
    if cell.lack(lacks.MOVED):
        lost = [p["text"] for m in want["messages"] for p in m["parts"]
                if dumps(got).count(dumps(p["text"])[1:-1]) != 1]
        if lost:
            raise Wrong(f"texts are lost or doubled: {lost} in {dumps(got)[:600]}")
        return
    allow_same(want, got)
    found = difference(got, want)
    if found:
        raise Wrong(f"the provider got: {found}")


def expected_answer(cell):
    answer = copy.deepcopy(cell.feature.answer)
    row = cell.wire
    for choice in answer["choices"]:
        choice["parts"] = joined(choice["parts"])
        if row.plans and choice["finish"] == "tools":
            choice["parts"] = [{"reasoning": part["text"]} if "text" in part else part
                               for part in choice["parts"]]
        if choice["finish"] == "sequence" and not (cell.dialect_name == "anthropic" and
                                                   row.sequences):
            choice["finish"] = "stop"
        if choice["finish"] == "stop" or row.sequences != "named":
            choice.pop("sequence", None)
    for name in ("cached", "written", "reasoning"):
        if name not in row.usage or name not in cell.dialect.USAGE:
            answer["usage"][name] = 0
    return answer


def plain_answer(answer):
    """The answer without what is compared apart: signatures."""
    answer = copy.deepcopy(answer)
    answer.pop("model", None)
    for choice in answer["choices"]:
        for part in choice["parts"]:
            for name in ("signature", "extra"):
                part.pop(name, None)
        choice["parts"] = joined([part for part in choice["parts"] if part != {"reasoning": ""}])
    return answer


def check_answer(cell, got):
    for said in cell.feature.said:
        if said not in dumps(got):
            raise Wrong(f"{said!r} is lost: {dumps(got)[:600]}")
    if cell.feature.said:
        if got["choices"][0]["finish"] not in ("stop", "filter"):
            raise Wrong(f"finish is {got['choices'][0]['finish']}")
        return
    if not got["model"]:
        raise Wrong("no model")
    found = difference(plain_answer(got), expected_answer(cell))
    if found:
        raise Wrong(f"the client got: {found}")


def check_limits(cell, answer, record):
    for name, value in cell.wire.format_at(record.call.target).headers(record.call):
        if "ratelimit" in name and answer.headers.get(name) != value:
            raise Wrong(f"{name} is {answer.headers.get(name)!r}, want {value!r}")


IDS = ("x-request-id", "request-id", "x-amzn-requestid")


def check_request_id(cell, answer, record):
    """The id is where the dialect's SDK looks for it: the provider's if it gave one."""
    name = "request-id" if cell.dialect_name == "anthropic" else "x-request-id"
    given = [value for key, value in cell.wire.format_at(record.call.target).headers(record.call)
             if key in IDS]
    want = given[0] if given else answer.headers["x-weir-request-id"]
    if answer.headers.get(name) != want:
        raise Wrong(f"{name} is {answer.headers.get(name)!r}, want {want!r}")


HEADS = {"limits": check_limits, "request-id": check_request_id}


def check_dropped(cell, answer):
    """The hints that are lost are named, and nothing else is."""
    wanted = cell.lack(lacks.DROPPED)
    said = answer.headers.get("x-weir-dropped")
    if wanted and not said:
        raise Wrong(f"{wanted} is dropped silently")
    if said and not wanted:
        raise Wrong(f"dropped, and not in lacks.py: {said}")
    if wanted:
        return Verdict("dropped", said)
    return Verdict("ignored" if cell.lack(lacks.IGNORED) else "pass")


# ---- The kinds of cells.

async def play_chat(cell):
    answer = await cell.ask(cell.feature.request)
    refusing = cell.lack(lacks.REFUSED)
    if cell.lack(lacks.THERE) and not refusing:
        return check_refused_there(cell, answer)
    record = last_record(cell)
    if refusing:
        return check_refused(cell, answer, record, refusing)
    got = read(cell, answer)
    if record is None:
        raise Wrong("the provider saw nothing")
    check_request(cell, record)
    check_answer(cell, got)
    if cell.feature.name in HEADS:
        HEADS[cell.feature.name](cell, answer, record)
    verdict = check_dropped(cell, answer)
    if cell.feature.again:
        await send_back(cell, got)
    return verdict


def check_refused(cell, answer, record, refusing):
    if record is not None:
        raise Wrong(f"lacks.py says that {refusing} is refused, but the provider got it")
    if answer.status != 400:
        raise Wrong(f"lacks.py says that {refusing} is refused, but the status is {answer.status}")
    error = cell.dialect.read_error(json.loads(answer.body))
    if "param" in error and not error["param"]:
        raise Wrong(f"the refusal names no field: {error}")
    return Verdict("refused", error["message"])


def check_refused_there(cell, answer):
    records = cell.mock.records.get(cell.model, [])
    if not records or not records[-1].fault:
        raise Wrong(f"lacks.py says that the provider refuses it: {answer.body[:300]!r}")
    error = cell.dialect.read_error(json.loads(answer.body))
    if answer.status not in (400, 422):
        raise Wrong(f"status {answer.status}: {error}")
    return Verdict("refused", error["message"])


async def send_back(cell, got):
    """The answer goes back with the results of its calls; the provider checks its own signatures."""
    parts = got["choices"][0]["parts"]
    calls = [part for part in parts if "call" in part]
    again = copy.deepcopy(cell.feature.request)
    again["messages"] += [{"role": "assistant", "parts": parts},
                          user(*[result(call, "5 °C") for call in calls])]
    answer = await cell.ask(again)
    record = last_record(cell)
    read(cell, answer)
    sent = [part for message in record.request["messages"] for part in message["parts"]]
    if not any(part.get("signature") for part in sent):
        raise Wrong(f"the signature is lost on its way back: {dumps(record.call.body)[:700]}")
    if answer.headers.get("x-weir-dropped"):
        raise Wrong(f"dropped on the way back: {answer.headers['x-weir-dropped']}")


async def play_error(cell):
    answer = await cell.ask(cell.feature.request)
    last_record(cell)
    if answer.status not in STATUSES[cell.feature.status]:
        raise Wrong(f"status {answer.status}: {answer.body[:300]!r}")
    error = cell.dialect.read_error(json.loads(answer.body))
    if cell.feature.status != 401 and OUT_OF_CAPACITY not in error["message"]:
        raise Wrong(f"the provider's words are lost: {error}")
    if cell.feature.status == 429 and cell.wire.retry_after and \
            answer.headers.get("retry-after") != "7":
        raise Wrong(f"retry-after is {answer.headers.get('retry-after')!r}")
    return Verdict("pass")


async def play_break(cell):
    answer = await cell.ask(cell.feature.request)
    last_record(cell)
    if answer.status == 200 and cell.stream and cell.feature.name in ("cut", "error-middle"):
        _, error = cell.dialect.read_stream(answer.events())
        if error is None:
            raise Wrong("taken as whole")
    elif answer.status < 400:
        raise Wrong(f"status {answer.status}: {answer.body[:300]!r}")
    else:
        error = cell.dialect.read_error(json.loads(answer.body))
    if cell.feature.name.startswith("error-") and OUT_OF_CAPACITY not in error["message"]:
        raise Wrong(f"the provider's words are lost: {error}")
    return Verdict("pass")


PLAYS = {"chat": play_chat, "error": play_error, "break": play_break}
