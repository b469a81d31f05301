"""What the mock says on every wire, and the tools that it calls."""

import hashlib

from kit import equal

ARGUMENTS = [{"city": "Paris"}, {"zone": "Europe/Paris"}]
CALLS = [("call_a", "weather", ARGUMENTS[0]), ("call_b", "clock", ARGUMENTS[1])]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": False}
ZONE = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"],
        "additionalProperties": False}
SCRIPT = "a\u00e9\u4e2d\U0001f30a \U0001f1e9\U0001f1ea e\u0301 \U0001f469\u200d\U0001f467 \u05e9"
THOUGHTS = "Rivers rise."
RIVER = {"river": "Elbe", "km": 1094}
RIVER_SCHEMA = {"type": "object", "required": ["river", "km"], "additionalProperties": False,
                "properties": {"river": {"type": "string"}, "km": {"type": "integer"}}}
LONG = "\u6c34 water " * 110000
LONG_DIGEST = f"{len(LONG.encode())} {hashlib.sha256(LONG.encode()).hexdigest()}"


def is_large(text):
    """Fifty times the same, as the model `large` says it."""
    equal(len(text.encode()) > 900000, True, f"{len(text.encode())} bytes are many")
    equal(text.replace(text[:len(text) // 50], ""), "", "fifty times the same")
