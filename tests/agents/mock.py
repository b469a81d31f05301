"""What the mock upstream of the agent tests says: one tool call that reads a file, then the result.

It is that of tests/sdk with one model, `agent`, on all four wires. The call is made for whichever
tool the agent offers for commands.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "sdk"))

from behaviours import BEHAVIOURS, USAGE  # noqa: E402
from scripts import SCRIPTS  # noqa: E402
from wires import Wire, texts  # noqa: E402

FILE = "river.txt"
ASK = f"cat {FILE}"
# The tools for commands that agents are known to have, and what they want to get.
ARGUMENTS = {
    "Bash": lambda: {"command": ASK, "description": "Read the file"},
    "exec_command": lambda: {"cmd": ASK},
    "shell_command": lambda: {"command": ASK},
    "shell": lambda: {"command": ["sh", "-c", ASK]},
}


class Chat(Wire):
    """Chat completions in the form of the other wires."""

    name = "chat"

    def results(self):
        return [texts(m["content"]) for m in self.call.body["messages"] if m["role"] == "tool"]

    @staticmethod
    def tool(part, text, index=0):
        return {"index": index, "id": part[1], "type": "function",
                "function": {"name": part[2], "arguments": text}}

    def whole(self, parts, finish):
        text = "".join("".join(part[-1]) for part in parts if part[0] == "text")
        message = {"role": "assistant", "content": text or None}
        calls = [self.tool(p, "".join(p[-1])) for p in parts if p[0] == "tool"]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": self.call.created,
                "model": self.call.body["model"], "usage": USAGE,
                "choices": [{"index": 0, "message": {**message, **({"tool_calls": calls} if calls
                                                                   else {})},
                             "finish_reason": "tool_calls" if finish == "tools" else finish}]}

    async def open(self, part):
        await super().open(part)
        if part[0] == "tool":
            await self.call.delta({"role": "assistant", "tool_calls": [self.tool(part, "")]})

    async def piece(self, text):
        await self.call.delta({"content": text} if self.part[0] == "text" else
                              {"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    async def close(self):
        """A part has no end of its own."""

    async def finish(self, finish):
        await self.call.delta({}, finish="tool_calls" if finish == "tools" else finish)

    async def stop(self):
        await self.call.done(USAGE)


def offered(body):
    """The names of the tools in a request of any wire."""
    for tool in body.get("tools") or []:
        for one in tool.get("functionDeclarations") or [tool.get("function") or tool]:
            yield one.get("name")


async def agent(_, wire):
    """Reads the file once, then says what was in it. Requests without tools are an agent's own."""
    names = list(offered(wire.call.body))
    tool = next((name for name in ARGUMENTS if name in names), None)
    results = wire.results()
    if results:
        await wire.say([("text", ["The file says: ", results[-1]])])
    elif tool:
        await wire.say([("text", ["I ", "look."]),
                        ("tool", "call_1", tool, pieces(json.dumps(ARGUMENTS[tool]())))], "tools")
    else:
        await wire.say([("text", ["A river"])])


def pieces(text):
    return [text[at:at + 7] for at in range(0, len(text), 7)]


async def agent_chat(call):
    await agent(call, Chat(call))


SCRIPTS["agent"] = agent
BEHAVIOURS["agent"] = agent_chat
