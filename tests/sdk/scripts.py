"""How the models behave on the wires of wires.py; `SCRIPTS` has the names of `behaviours`.

A script gets the call and the wire that it is to be said in.
"""

import asyncio
import hashlib

from behaviours import SCRIPT, THOUGHTS, TOOLS, WORDS

SCRIPTS = {}
SHORT = [("text", WORDS)]


def script(name):
    def enter(function):
        SCRIPTS[name] = function
        return function
    return enter


@script("plain")
async def plain(_, wire):
    await wire.say(SHORT)


@script("length")
async def length(_, wire):
    await wire.say([("text", WORDS[:2])], "length")


@script("reason")
async def reason(_, wire):
    """Thoughts, a text, and one call; once there is a result, a text."""
    results = wire.results()
    if results:
        await wire.say([("text", results)])
        return
    await wire.say([("think", THOUGHTS), ("text", ["I ", "look."]), ("tool", *TOOLS[0])], "tools")


@script("tools")
async def tools(_, wire):
    results = wire.results()
    if results:
        await wire.say([("text", [" / ".join(results)])])
    else:
        await wire.say([("tool", *tool) for tool in TOOLS], "tools")


# Where calls come one after the other anyway.
SCRIPTS["tools-in-turn"] = tools


@script("schema")
async def schema(_, wire):
    await wire.say([("text", ['{"river":"Elbe",', '"km":1094}'])])


@script("digest")
async def digest(_, wire):
    text = wire.last_text().encode()
    await wire.say([("text", [f"{len(text)} {hashlib.sha256(text).hexdigest()}"])])


@script("large")
async def large(_, wire):
    await wire.say([("text", [SCRIPT * (20000 // len(SCRIPT.encode()))] * 50)])


@script("split")
async def split(call, wire):
    """Each byte of the stream in a chunk and a write of its own."""
    call.piece = 1
    await wire.say([("text", [SCRIPT])])


@script("comments")
async def comments(call, wire):
    await call.stream()
    await call.text(b": connected\n\n")
    call.stream = nothing
    say = wire.piece

    async def piece(text):
        await call.text(b":\n\n: keep-alive\n\n")
        await say(text)

    wire.piece = piece
    await plain(call, wire)


async def nothing():
    """Takes the place of a head that is already written."""


@script("late")
async def late(_, wire):
    await asyncio.sleep(0.9)
    await wire.say(SHORT)


@script("endless")
async def endless(_, wire):
    await wire.start()
    await wire.open(SHORT[0])
    while True:
        await wire.piece("and on ")
        await asyncio.sleep(0.005)


@script("silent")
async def silent(*_):
    await asyncio.Event().wait()


async def begin(wire):
    await wire.start()
    await wire.open(SHORT[0])
    for word in WORDS[:2]:
        await wire.piece(word)
    await asyncio.sleep(0.05)


@script("stall")
async def stall(_, wire):
    await begin(wire)
    await asyncio.Event().wait()


# --- failures


@script("limited")
async def limited(call, wire):
    if call.number == 1:
        await refuse_rate(call, wire)
    else:
        await plain(call, wire)


@script("always-limited")
async def refuse_rate(_, wire):
    await wire.error(429, "Rate limit reached", code="rate_limit_exceeded", wait=0.05,
                     headers=[] if wire.name == "gemini" else [("retry-after-ms", "50")])


@script("flaky")
async def flaky(call, wire):
    if call.number <= 2:
        await wire.error(500, "The server had an error")
    else:
        await plain(call, wire)


@script("picky")
async def picky(_, wire):
    await wire.error(400, "Unsupported value: 'temperature' does not support 9.")


@script("locked")
async def locked(_, wire):
    await wire.error(401, "Incorrect API key provided")


@script("frame")
async def frame(_, wire):
    await begin(wire)
    await wire.frame("out of memory")
    await wire.stop()


@script("cut")
async def cut(call, wire):
    await begin(wire)
    call.wire.close()


@script("cut-clean")
async def cut_clean(_, wire):
    """A proper end of the HTTP message in the middle of the answer."""
    await begin(wire)
    await wire.stop()
