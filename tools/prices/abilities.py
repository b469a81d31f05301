#!/usr/bin/env python3
"""Adds to a table of prices, as `weir prices update` keeps it, what its models can do.

  abilities.py prices.json model_prices_and_context_window_backup.json

The second file is of the Python package litellm; only its facts of tools, images and JSON schemas
are taken over, for models that the table has. A fact counts where all entries that a model of the
table stands for agree on it.

An entry that does not state a fact says nothing of it. That is decided by the data: take the chat
models with some `supports_*` that lack one, and look what entries of the same model at other
providers state. In the release of November 2026 a missing supports_function_calling stands for a
yes in 92 of 96 cases, supports_response_schema in 474 of 506, supports_vision in 112 of 306.
"""
import argparse
import collections
import json
import re
import sys

FACTS = {"tools": "supports_function_calling", "images": "supports_vision",
         "schema": "supports_response_schema"}
MODES = ("chat", "responses")
# Providers of the table by those of the entries; what stands before the model in an entry's name.
SOURCES = {
    "openai": ("openai", r"(openai/)?"), "anthropic": ("anthropic", r"(anthropic/)?"),
    "gemini": ("google", r"(gemini/)?"), "vertex_ai-language-models": ("google", r"(vertex_ai/)?"),
    "azure": ("azure", r"azure/((eu|us|us-gov|global|global-standard)/)?"),
    "bedrock": ("bedrock", r"(bedrock/(.*/)?)?"),
    "bedrock_converse": ("bedrock", r"(bedrock/(.*/)?)?"),
    "cohere_chat": ("cohere", r"(cohere/)?"), "cohere": ("cohere", r"(cohere/)?"),
    "groq": ("groq", r"groq/"), "together_ai": ("together", r"together_ai/"),
    "mistral": ("mistral", r"mistral/"), "deepseek": ("deepseek", r"(deepseek/)?"),
    "xai": ("xai", r"xai/"), "fireworks_ai": ("fireworks", r"fireworks_ai/"),
    "baseten": ("baseten", r"baseten/"), "openrouter": ("openrouter", r"openrouter/"),
    "moonshot": ("moonshotai", r"moonshot/"),
}


def fits(pattern, name):
    """As price_pattern_fits does: * is any text, # one digit."""
    regex = "".join(".*" if c == "*" else "[0-9]" if c == "#" else re.escape(c) for c in pattern)
    return re.fullmatch(regex, name, re.DOTALL) is not None


def find(models, name):
    """The model that a name means, by the rules of src/policy/price.c."""
    for model in models:
        if name in model.get("names", ()):
            return model
    for model in models:
        if not any(fits(p, name) for p in model.get("except", ())) and any(
                fits(p, name) for p in model.get("patterns", ())):
            return model
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices")
    parser.add_argument("entries")
    args = parser.parse_args()
    with open(args.prices, encoding="utf-8") as file:
        table = json.load(file)
    with open(args.entries, encoding="utf-8") as file:
        entries = json.load(file)
    providers = {p["name"]: p["models"] for p in table["providers"]}
    said = collections.defaultdict(lambda: collections.defaultdict(set))
    known = {}
    for key, entry in entries.items():
        source = SOURCES.get(entry.get("litellm_provider"))
        if source is None or source[0] not in providers or entry.get("mode") not in MODES:
            continue
        name = re.sub("^" + source[1], "", key.lower())
        model = find(providers[source[0]], name)
        if model is None:
            continue
        known[id(model)] = model
        for ability, fact in FACTS.items():
            if isinstance(entry.get(fact), bool):
                said[id(model)][ability].add(entry[fact])
    counts = collections.Counter()
    for at, model in known.items():
        agreed = {a: next(iter(said[at][a])) for a in FACTS if len(said[at][a]) == 1}
        counts.update((a, yes) for a, yes in agreed.items())
        if agreed:
            model["supports"] = agreed
    with open(args.prices, "w", encoding="utf-8") as file:
        json.dump(table, file)
    told = ", ".join(f"{a}: {counts[a, True]} can, {counts[a, False]} cannot" for a in FACTS)
    print(f"{len(known)} models with facts; {told}", file=sys.stderr)


if __name__ == "__main__":
    main()
