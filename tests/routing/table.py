"""Which fault of an upstream, of a client or of the machine is shown where."""

import pathlib
import re

TESTS = pathlib.Path(__file__).resolve().parents[1]
# Number, fault, what comes of it, tests in one client's dialect that other suites have, tests here in all
# dialects. Scenarios by name, tests as module.Class.test.
ROWS = (
    (1, "connection refused", "next target; 502 when all fail",
     "connect-refused failover-connect-refused", "BelowHttp.refused AllFail.test_error Failover.test_refused"),
    (2, "SYNs are dropped", "connect limit, next target, else 504", "connect-black-hole connect-late",
     "BelowHttp.black-hole"),
    (3, "no such name, SERVFAIL, mute or slow name server", "next target, others unaffected, last good address",
     "egress_cases.Addresses.test_no_such_name egress_cases.Addresses.test_name_server_is_silent",
     "BelowHttp.no-such-name BelowHttp.servfail BelowHttp.mute-name-server BelowHttp.test_late_name_server "
     "BelowHttp.test_last_good_address"),
    (4, "a name's address changes", "new connections go there", "", "Others.test_address_changes"),
    (5, "certificate expired, of another host, self-signed; no TLS at all", "next target, else 502; nothing is sent",
     "tls-expired tls-wrong-host tls-self-signed tls-never-plain tls-stall",
     "BelowHttp.expired BelowHttp.wrong-host BelowHttp.self-signed BelowHttp.plain-where-tls BelowHttp.mute-tls"),
    (6, "own certificate expires", "reloaded", "listen_cases reload_cases", ""),
    (7, "accepts and never answers", "next target, else 504", "head-timeout first-token-timeout total-timeout",
     "BelowHttp.says-nothing OfWires.silent OfWires.silent-head"),
    (8, "stalls in a stream", "error event, or rescued",
     "between-tokens-timeout cut-stall-after-one-event cut-stall-after-many-events",
     "OfWires.silent-middle Rescue.silent"),
    (9, "closes in a stream", "error event, or rescued; before its content the next target",
     "cut-fin-after-one-event cut-reset-after-one-event cut-inside-event cut-broken-chunk cut-length-lie",
     "BelowHttp.reset BelowHttp.closed BelowHttp.half-head OfWires.cut OfWires.cut-first OfWires.cut-opening "
     "OfWires.cut-inside OfWires.no-finish OfWires.no-last Rescue.cut Rescue.half Rescue.ended "
     "Rescue.test_every_event"),
    (10, "200 with HTML", "next target, else 502", "status-200-html status-200-html-stream",
     "OfWires.html OfWires.html-as-json BelowHttp.redirect"),
    (11, "200 with an error", "next target; behind content an error event",
     "status-200-error error-in-first-event error-in-middle",
     "OfWires.error-body OfWires.error-first OfWires.error-middle OfWires.error-last OfWires.event-auth Rescue.error"),
    (12, "bursts of 500, 502, 503, 529", "retries within a budget, breaker, half-open",
     "upstream-500 upstream-500-html", "OfWires.overloaded-503 OfWires.overloaded-529 Breaker.test_shared_by_workers"),
    (13, "429 with Retry-After", "that target rests; passed on if nobody else can", "upstream-429",
     "OfWires.limited-429 NotSick.test_limited NotSick.test_several_keys"),
    (14, "JSON malformed or cut off", "next target, else 502",
     "json-invalid json-truncated json-truncated-chunked json-length-too-short",
     "OfWires.truncated OfWires.truncated-first OfWires.cut"),
    (15, "SSE cut anywhere, other line ends, comments, BOM", "the same answer",
     "stream-utf8-split-at-every-byte stream-cr stream-crlf stream-comments-pass stream-multi-line-data "
     "stream-bom-and-fields stream-one-byte-writes", "OfWires.strangers OfWires.behind"),
    (16, "an endless line, head or body", "502, bounded memory",
     "stream-50-mb-line head-line-endless head-too-large answer-50-mb",
     "BelowHttp.endless-line BelowHttp.endless-head BelowHttp.endless-json"),
    (17, "a request's body too large, or a gzip bomb", "413", "body-cap-content-length body-cap-chunked body-gzip-bomb",
     "Clients.test_body_too_large"),
    (18, "a client that does not read", "its upstream is held up, nobody else",
     "slow-client-back-pressure slow-client-gets-all client-leaves-while-not-reading", "Clients.test_slow_client"),
    (19, "slow heads, idle connections, no descriptors left", "limits; recovers",
     "limit_cases.Descriptors.test_none_left", ""),
    (20, "the client leaves in a stream", "upstream cancelled, place free, logged",
     "client-leaves-while-streaming client-resets-while-streaming", "Clients.test_leaves"),
    (21, "the client leaves while it waits", "out of the queue, nobody is asked", "client-leaves-while-waiting",
     "Clients.test_leaves"),
    (22, "a client's half-closed connection", "gone, unless the listener says otherwise",
     "client-half-close-is-gone client-half-close-answered",
     "Clients.test_half_close"),
    (31, "an engine dies", "next target; started again later", "life_cases", "Others.test_dead_engine"),
    (33, "no descriptors or ports left", "503, or another target that has a connection; no target is blamed; recovers",
     "limit_cases.Descriptors.test_none_left limit_cases.Descriptors.test_given_back "
     "limit_cases.Descriptors.test_no_port_left",
     "NoDescriptors.test_alone NoDescriptors.test_kept_connection NoDescriptors.test_name"),
    (34, "all upstreams fail or are slow", "at most 1.2 requests for each; shed by class", "",
     "Retries.test_amplification Overload.test_overload Clients.test_full"),
    (35, "all upstreams are ejected", "they are asked all the same", "", "Breaker.test_panic"),
    (36, "an upstream comes back", "one request at a time, then a growing share", "",
     "Breaker.test_half_open Breaker.test_slow_start Breaker.test_failed_trial_lasts_longer"),
    (39, "more tokens than the request allows, or no end", "cut in the stream, finish reason length, usage estimated",
     "", "Overlong.test_cut Overlong.test_within"),
    (40, "a call's arguments are not JSON", "passed on where they are a text, else next target or 502", "",
     "OfWires.arguments-no-object OfWires.test_held"),
)


def known():
    """What the rows may name: scenarios, modules and tests of other suites, and tests and faults here."""
    import faults_cases
    import rescue_cases

    names = {path.stem for path in TESTS.glob("scenario/*.scn")} | {path.stem for path in TESTS.glob("ops/*_cases.py")}
    for path in (*TESTS.glob("ops/*_cases.py"), *TESTS.glob("routing/*_cases.py")):
        prefix = path.stem + "." if path.parent.name == "ops" else ""
        of = None
        for line in path.read_text("utf-8").splitlines():
            if found := re.match(r"class (\w+)", line):
                of = found[1]
            elif found := re.match(r"    def (test_\w+)", line):
                names.add(f"{prefix}{of}.{found[1]}")
    names |= {f"BelowHttp.{name}" for name in faults_cases.LOW} | {f"OfWires.{name}" for name in faults_cases.FAULTS}
    return names | {f"Rescue.{name}" for name in rescue_cases.BREAKS}


def missing():
    names = known()
    return [name for *_, elsewhere, here in ROWS for name in (elsewhere + " " + here).split() if name not in names]


def show():
    print("| # | fault | outcome | in one dialect | in all dialects, streamed and not |\n|--:|---|---|---|---|")
    for number, fault, outcome, elsewhere, here in ROWS:
        print(f"| {number} | {fault} | {outcome} | {elsewhere.replace(' ', ', ')} | {here.replace(' ', ', ')} |")
    lost = missing()
    for name in lost:
        print(f"there is no {name}")
    return 1 if lost else 0
