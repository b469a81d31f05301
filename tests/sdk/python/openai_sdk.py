"""The OpenAI SDK as its cases use it."""

import functools

from kit import SLACK, TIMEOUT
from openai import OpenAI


@functools.cache
def shared():
    return OpenAI(timeout=TIMEOUT * SLACK)


def client(**more):
    """The SDK as applications make it: everything comes from the environment. Unless the case wants
    something special all share one, as applications do."""
    return OpenAI(**{"timeout": TIMEOUT * SLACK, **more}) if more else shared()


def text_of(stream):
    """The text of a stream's first choice."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
