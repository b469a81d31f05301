#!/usr/bin/env python3
"""Makes the request bodies of the measurements, the same bytes each time.

  small1k      1 KB chat request
  prompt100k   100 KB conversation of 40 messages
  agent300k    300 KB of an agent's work: over 100 messages with tool calls, tool results, code,
               text in several scripts, escapes of every kind, and the JSON Schemas of 20 tools
  string300k   300 KB of which nearly all is one string
"""
import argparse
import json
import os
import sys

KINDS = {"small1k": 1024, "prompt100k": 100_000, "agent300k": 300_000, "string300k": 300_000}

PROSE = [
    "The build fails on the second stage because the generated header is older than its input.",
    "Please keep the public interface as it is; callers outside this repository depend on it.",
    "I ran the whole suite twice: 412 passed, 3 skipped, and one that depends on the wall clock.",
    "A lock held across an await is what makes the queue stall, not the size of the pool.",
    "Größe und Maß stimmen nicht überein, siehe Zeile 88; bitte prüfen.",
    "Le délai d’attente expire avant que la réponse n’arrive — voilà pourquoi le client réessaie.",
    "日本語のログでは、接続が三回目の再試行の後に切断されたと記録されています。",
    "Проверка подписи занимает больше времени, чем сам запрос к базе данных.",
    "Deploy went green 🚀 but the dashboard still shows the old version ⚠️ on two nodes.",
    "The limit is 4096 bytes per row, so 1.5e6 rows need about 6 GB before compression.",
]

CODE = '''def merge(left: list[int], right: list[int]) -> list[int]:
\t"""Merge two sorted lists; "left" wins ties."""
\tout, i, j = [], 0, 0
\twhile i < len(left) and j < len(right):
\t\tif left[i] <= right[j]:
\t\t\tout.append(left[i]); i += 1
\t\telse:
\t\t\tout.append(right[j]); j += 1
\treturn out + left[i:] + right[j:]
'''

C_CODE = r'''static int parse_line(const char *line, struct row *ret_row)
{
    char name[64] = "";
    if (sscanf(line, "%63[^\t]\t%d\n", name, &ret_row->count) != 2)
        return fprintf(stderr, "bad line: \"%s\"\\n", line), -1;
    ret_row->name = strdup(name); /* C:\data\rows.txt */
    return 0;
}
'''

LOG = ("2026-10-01T12:%02d:%02d.%03dZ WARN  pool.c:%d \x1b[33mslow acquire\x1b[0m waited=%dms "
       "key=\"tenant/%d\" path=C:\\srv\\%d\\data\r\n")

TOOL_NAMES = ["read_file", "write_file", "edit_file", "list_directory", "search_text",
              "run_command", "run_tests", "git_diff", "git_log", "open_pull_request", "query_database",
              "fetch_url", "create_ticket", "update_ticket", "send_message", "schedule_job",
              "get_metrics", "render_chart", "translate_text", "ask_human"]


class Dice:
    """A linear congruential generator (Knuth's MMIX constants): the same on every Python."""

    def __init__(self, seed):
        self.state = seed

    def roll(self, sides):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % sides

    def pick(self, things):
        return things[self.roll(len(things))]


def text(dice, sentences):
    return " ".join(dice.pick(PROSE) for _ in range(sentences))


def log_lines(dice, count):
    return "".join(LOG % (dice.roll(60), dice.roll(60), dice.roll(1000), dice.roll(900),
                          dice.roll(5000), dice.roll(99), dice.roll(9)) for _ in range(count))


def string_schema(dice, description):
    return {"type": "string", "description": description, "minLength": 1,
            "maxLength": 256 + dice.roll(4096)}


def tool(dice, name):
    """One tool with the nesting that real agents' tools have: objects in arrays in objects."""
    noun = name.split("_")[-1]
    entry = {
        "type": "object",
        "properties": {
            "path": string_schema(dice, f"Absolute path of the {noun}. " + dice.pick(PROSE)),
            "range": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2,
                      "maxItems": 2},
            "match": {"anyOf": [string_schema(dice, "A literal text."),
                                {"type": "object", "properties": {
                                    "regex": {"type": "string", "pattern": "^(?:[^\\\\/]|\\\\.)+$"},
                                    "flags": {"type": "array",
                                              "items": {"enum": ["i", "m", "s", "x"]}}},
                                 "required": ["regex"], "additionalProperties": False}]},
        },
        "required": ["path"],
        "additionalProperties": False,
    }
    parameters = {
        "type": "object",
        "properties": {
            "targets": {"type": "array", "items": entry, "minItems": 1, "maxItems": 32,
                        "description": text(dice, 2)},
            "mode": {"type": "string", "enum": ["strict", "lenient", "dry_run"],
                     "default": "strict"},
            "timeout_ms": {"type": "integer", "minimum": 0, "maximum": 600000, "default": 30000},
            "options": {"type": "object", "properties": {
                "encoding": {"type": ["string", "null"], "enum": ["utf-8", "latin-1", None]},
                "follow_links": {"type": "boolean", "default": False},
                "limit": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5}}},
        },
        "required": ["targets"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": text(dice, 3),
                                             "parameters": parameters, "strict": True}}


def tool_call(dice, number):
    arguments = {"targets": [{"path": f"/srv/app/src/module_{dice.roll(90)}.py",
                              "range": [dice.roll(100) + 1, dice.roll(900) + 101],
                              "match": {"regex": "\\bTODO\\b.*\"(\\w+)\"", "flags": ["i"]}}],
                 "mode": "strict", "timeout_ms": 1000 * (1 + dice.roll(30))}
    return {"id": f"call_{number:04d}{dice.roll(10**8):08d}", "type": "function",
            "function": {"name": dice.pick(TOOL_NAMES), "arguments": json.dumps(arguments)}}


def tool_result(dice):
    shape = dice.roll(4)
    if shape == 0:
        return log_lines(dice, 12 + dice.roll(20))
    if shape == 1:
        return "```python\n" + CODE * (1 + dice.roll(4)) + "```\n"
    if shape == 2:
        return C_CODE * (1 + dice.roll(5))
    rows = [{"id": i, "name": f"row-{dice.roll(10**6)}", "ratio": dice.roll(10**6) / 10**6,
             "note": dice.pick(PROSE), "ok": bool(dice.roll(2)), "parent": None}
            for i in range(4 + dice.roll(12))]
    return json.dumps({"rows": rows, "truncated": False}, indent=2)


def agent_turn(dice, number):
    """Four messages: the assistant calls two tools, both answer, and someone says something."""
    calls = [tool_call(dice, 2 * number), tool_call(dice, 2 * number + 1)]
    speaker = "user" if number % 3 == 2 else "assistant"
    content = text(dice, 3 + dice.roll(5))
    if speaker == "user":
        content = [{"type": "text", "text": content}, {"type": "text", "text": dice.pick(PROSE)}]
    return [{"role": "assistant", "content": text(dice, 1 + dice.roll(3)), "tool_calls": calls},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": tool_result(dice)},
            {"role": "tool", "tool_call_id": calls[1]["id"], "content": tool_result(dice)},
            {"role": speaker, "content": content}]


def agent_messages(dice, size):
    messages = [{"role": "system", "content": text(dice, 40)},
                {"role": "user", "content": text(dice, 6) + "\n\n" + CODE}]
    turn, number = [], 0
    while len(encode_messages(messages + turn).encode()) < size:
        messages += turn
        turn = agent_turn(dice, number)
        number += 1
    return messages


def chat_messages(dice, count):
    messages = [{"role": "system", "content": text(dice, 10)}]
    while len(messages) < count:
        messages.append({"role": "assistant" if len(messages) % 2 == 0 else "user",
                         "content": text(dice, 12 + dice.roll(16))})
    return messages


def encode(value, ascii_only=False):
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


def encode_messages(messages):
    """Every fourth message escapes what is not ASCII, as clients of that habit do."""
    return "[" + ",".join(encode(m, ascii_only=i % 4 == 3) for i, m in enumerate(messages)) + "]"


def assemble(messages, tools, args):
    """The fields in the order in which the OpenAI SDK sends them."""
    parts = ['"messages":' + encode_messages(messages), '"model":' + encode(args.model),
             '"max_tokens":256']
    if args.stream:
        parts.append('"stream":true')
    if args.usage:
        parts.append('"stream_options":{"include_usage":true}')
    parts.append('"temperature":0.7')
    if tools:
        parts += ['"tool_choice":"auto"', '"tools":' + encode(tools)]
    return ("{" + ",".join(parts) + "}").encode()


def document(dice, size):
    """A text of paragraphs of just under `size` bytes in JSON."""
    paragraphs = []
    while True:
        paragraph = text(dice, 5) + "\n\n"
        size -= len(encode(paragraph).encode()) - 2
        if size < 0:
            return "".join(paragraphs)
        paragraphs.append(paragraph)


def filler(size):
    """Plain sentences of exactly `size` bytes in JSON."""
    line = PROSE[0] + " " + PROSE[1] + " "
    return (line * (size // len(line) + 1))[:size]


def build(kind, args):
    """The body of that kind, brought to its exact size by the text of its last message."""
    dice = Dice(20261001)
    tools = []
    if kind == "agent300k":
        tools = [tool(dice, name) for name in TOOL_NAMES]
        messages = agent_messages(dice, KINDS[kind] - len(encode(tools).encode()) - 1000)
    elif kind == "prompt100k":
        messages = chat_messages(dice, 40)
    elif kind == "string300k":
        messages = [{"role": "system", "content": "Answer briefly."}]
    else:
        messages = [{"role": "system", "content": "You are a helpful assistant. " + PROSE[1]}]
    messages.append({"role": "user", "content": ""})
    missing = KINDS[kind] - len(assemble(messages, tools, args))
    if missing < 1:
        sys.exit(f"{kind}: {-missing} bytes too long without its filler")
    content = document(dice, missing) if kind == "string300k" else ""
    content += filler(missing - len(encode(content).encode()) + 2)
    messages[-1]["content"] = content
    body = assemble(messages, tools, args)
    assert len(body) == KINDS[kind] and json.loads(body)["model"] == args.model
    return body


def write(path, body):
    with open(path, "wb") as file:
        file.write(body)


def write_all(folder, model="bench"):
    """KIND.json and KIND.stream.json for every kind; returns {name: path}."""
    paths = {}
    for kind in KINDS:
        for stream in (False, True):
            name = kind + (".stream" if stream else "")
            args = argparse.Namespace(model=model, stream=stream, usage=False)
            paths[name] = os.path.join(folder, name + ".json")
            write(paths[name], build(kind, args))
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*KINDS, "all"])
    parser.add_argument("--model", default="bench")
    parser.add_argument("--stream", action="store_true", help='add "stream": true')
    parser.add_argument("--usage", action="store_true", help="ask for the usage event")
    parser.add_argument("-o", "--output", help="a file (standard output without); "
                                               "with `all`, a folder for every kind")
    args = parser.parse_args()
    if args.kind == "all":
        write_all(args.output or ".", args.model)
    elif args.output:
        write(args.output, build(args.kind, args))
    else:
        sys.stdout.buffer.write(build(args.kind, args))


if __name__ == "__main__":
    main()
