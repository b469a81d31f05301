"""What Weir tells of a request, `GET /admin/v1/explain/{id}`, against what the upstreams have seen of it: each
attempt that can have got there is in their log, in that order and with the status that they said, and
nothing else is. What was refused, or not to be found or trusted, is in no log: Weir has to tell of it with
the error that says so.

Every request has a name of its own in a header that goes upstream with each attempt. Each worker remembers
its latest 512 requests: what is older is not asked for.
"""

import collections
import dataclasses
import itertools
import threading
import time

from harness import ask, connect, late

TAG = "x-client-request-id"
REMEMBERED = 512
# Nothing of a request is sent then.
NOT_THERE = {"upstream_dns", "upstream_connect", "upstream_tls", "timeout_connect", "timeout_tls",
             "engine_unavailable", "queue_full", "queue_timeout", "unsupported_parameter", "overloaded"}
BRIEF_US = 20000  # a hedge that is called off so soon may not have been read

_numbers = itertools.count(1)
_lock = threading.Lock()
_counts = collections.Counter()


def new_tag():
    return f"seen-{next(_numbers)}"


@dataclasses.dataclass
class Heard:
    """A request as an upstream got it. `status`: what it said, 0: nothing, None: not in words of HTTP;
    `outcome`: what that is called; `key`: the number of the credential, where there are several."""
    tag: str
    target: str
    status: int = None
    outcome: str = None
    key: int = None
    at: float = dataclasses.field(default_factory=time.monotonic)


# ---------------------------------------------------------------- asking

class Admin:
    """A kept connection to the admin API. What has just been answered may not have been written down yet."""

    def __init__(self, weir):
        self.path = weir.data / "admin.sock"
        self.conn = connect(self.path)

    def explain(self, request_id):
        """What is remembered, or None."""
        end = time.monotonic() + late(5)
        while True:
            answer = ask(self.path, "GET", f"/admin/v1/explain/{request_id}", keep=self.conn)
            if answer.status == 200:
                return answer.json()
            if time.monotonic() > end:
                return None
            time.sleep(0.002)

    def targets(self):
        """What is known of each target's health."""
        told = ask(self.path, "GET", "/admin/v1/targets", keep=self.conn).json()
        return {t["target"]: t for t in told["targets"]}

    def close(self):
        self.conn.close()


# ---------------------------------------------------------------- comparing

def may_be_heard(attempt, deaf):
    return attempt["outcome"] not in NOT_THERE and attempt["target"].partition("/")[0] not in deaf


def called_off(attempt):
    sent = attempt.get("sent_us")
    return attempt["outcome"] == "hedged" and (sent is None or attempt["end_us"] - sent < BRIEF_US)


def side_by_side(a, b):
    return b["start_us"] < a["end_us"] and a["start_us"] < b["end_us"]


def match(attempts, heard, deaf):
    """([(attempt, Heard)], attempts nobody has heard of, Heards nobody tells of)."""
    pairs, lost, rest = [], [], list(heard)
    for attempt in attempts:
        if not may_be_heard(attempt, deaf):
            continue
        found = next((one for one in rest if one.target == attempt["target"]), None)
        if found is not None:
            rest.remove(found)
            pairs.append((attempt, found))
        elif not called_off(attempt):
            lost.append(attempt)
    return pairs, lost, rest


def of_pairs(pairs):
    for attempt, seen in pairs:
        if seen.status is not None and attempt.get("status", seen.status) != seen.status:
            yield f"{attempt['target']} has said {seen.status}, not {attempt['status']}"
        if seen.outcome is not None and attempt["outcome"] not in (seen.outcome, "hedged"):
            yield f"{attempt['target']} has said what is {seen.outcome}, not {attempt['outcome']}"
        if seen.key is not None and attempt.get("key") != seen.key:
            yield f"{attempt['target']} was asked with key {seen.key}, not {attempt.get('key')}"
    for (attempt, seen), (then, later) in itertools.pairwise(pairs):
        if later.at < seen.at and not side_by_side(attempt, then):
            yield f"{then['target']} was asked before {attempt['target']}"


def of_order(told):
    """The attempts against the order that was made: each target for the first time when its turn comes."""
    order = [c["target"] for c in told.get("candidates", ()) if "place" in c and "skipped" not in c]
    tried = list(dict.fromkeys(a["target"] for a in told["attempts"]))
    if order and not told.get("partial") and tried != order[:len(tried)]:
        yield f"tried {tried}, and the order was {order}"


def of_each(told):
    for attempt in told["attempts"]:
        if "status" in attempt and attempt["outcome"] in NOT_THERE:
            yield f"{attempt['target']} was not there to say {attempt['status']}"
        if "sent_us" in attempt and attempt["outcome"] in NOT_THERE:
            yield f"nothing was sent to {attempt['target']}, which was not there"
        times = [attempt[name] for name in ("start_us", "sent_us", "end_us") if name in attempt]
        if times != sorted(times):
            yield f"times of {attempt}"


def of_outcomes(told, wanted):
    """`wanted`: sets of codes, one for each attempt; ... at the end: more like the last one."""
    outcomes, wanted = [a["outcome"] for a in told["attempts"]], list(wanted)
    if wanted[-1] is ...:
        wanted[-1:] = [wanted[-2]] * (len(outcomes) - len(wanted) + 1)
    if len(outcomes) != len(wanted) or not all(o in codes for o, codes in zip(outcomes, wanted)):
        yield f"outcomes {outcomes}, want {wanted}"


def differences(told, heard, wanted=None, deaf=()):
    """What is wrong with what was told, as texts. `heard`: of that request, in the order of time; `deaf`:
    names of providers that keep no log, since they read no request."""
    if told is None:
        return ["nothing is remembered"]
    pairs, lost, rest = match(told["attempts"], heard, deaf)
    found = [f"{a['target']} has not seen {a}" for a in lost]
    found += [f"{one.target} was asked, and no attempt says so" for one in rest]
    found += [*of_pairs(pairs), *of_order(told), *of_each(told)]
    return found + (list(of_outcomes(told, wanted)) if wanted else [])


def by_tag(heard):
    """Tag -> what was heard of it, in the order of time."""
    tags = collections.defaultdict(list)
    for one in sorted(heard, key=lambda one: one.at):
        tags[one.tag].append(one)
    return tags


def judge(told, heard, wanted=None, deaf=()):
    """The same as differences(), counted."""
    found = differences(told, heard, wanted, deaf)
    with _lock:
        _counts["exchanges"] += 1
        _counts["attempts"] += len(told["attempts"]) if told else 0
        _counts["unheard"] += sum(not may_be_heard(a, deaf) for a in told["attempts"]) if told else 0
        _counts["wrong"] += bool(found)
    return found


# ---------------------------------------------------------------- of mocks in an event loop

def heard_by(mocks):
    """What flow.Mocks have got, by their providers' names."""
    return [dataclasses.replace(one, target=f"{name}/{one.target}") for name, mock in mocks.items()
            for one in mock.heard]


def as_seen(weir, results, mocks):
    """The latest of the results of flow.Clients, in the order in which they have ended, against the mocks by
    their providers' names."""
    heard = by_tag(heard_by(mocks))
    admin, wrong, results = Admin(weir), [], results[-REMEMBERED:]
    for result in results:
        told = admin.explain(result.headers["x-weir-request-id"])
        if found := judge(told, heard[result.tag]):
            wrong.append(f"{found}: {told} of {heard[result.tag]}")
    admin.close()
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(results)} are told otherwise: {wrong[0]}")


# ---------------------------------------------------------------- the figure

def say():
    """One line, where anything was compared."""
    if _counts["exchanges"]:
        how = f"{_counts['wrong']} not" if _counts["wrong"] else "all"
        print(f"explained: {_counts['exchanges']} exchanges, {how} as the mocks saw them "
              f"({_counts['attempts']} attempts, {_counts['unheard']} of them where nobody could see them)", flush=True)
