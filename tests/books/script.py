"""What is played: the gateway's configuration, and the script of exchanges with the mock's part in
each (request.h and reply.h say what the words mean)."""

import dataclasses

WIRES = ("openai", "anthropic", "gemini")
PROVIDERS = {"up": "openai", "anth": "anthropic", "goo": "gemini"}

# Aliases and their targets; the last digit of each is its stage, which picks the mock's plan.
MODELS = {
    "m-one": ("up/gpt-1",),
    "m-two": ("anth/claude-1", "up/gpt-2"),
    "m-three": ("goo/gem-1", "anth/claude-2", "up/gpt-3"),
    "m-four": ("up/gpt-1", "goo/gem-2"),
}
# Nano-dollars for a token: input, output, cached, cache_write. The configuration has them in dollars
# for a million tokens.
PRICES = {"up": (2500, 10000, 1250, 2500), "anth": (3000, 15000, 300, 3750), "goo": (1250, 5000, 310, 1250)}


@dataclasses.dataclass(frozen=True)
class Key:
    team: str = ""
    organisation: str = ""
    use_case: str = ""      # of all its requests
    sets_use_case: bool = False
    share: int = 10         # of the exchanges
    limits: str = ""


KEYS = {
    "web": Key("search", "acme", "summaries", share=25),
    "app": Key("search", "acme", sets_use_case=True, share=25),
    "batch": Key("ads", "acme", "tagging", share=20),
    "solo": Key(share=15),
    "tight": Key("ads", "acme", share=7, limits="budget: {month: TIGHT}"),
    "rated": Key("search", "acme", "tagging", share=4, limits="requests_per_minute: 200"),
    "narrow": Key(share=4, limits="concurrency: 1"),
}
USE_CASES = ("summaries", "tagging", "drafts")
USERS = 40
WORKERS = 2
WIDE = ("requests_per_minute: 100000000, tokens_per_minute: 1000000000000, concurrency: 100000, "
        "budget: {hour: 1000000, day: 1000000, week: 1000000, month: 10000000}")


def secret(key):
    return f"sk-books-{key}"


def dollars(nano_each):
    """Of a million tokens."""
    return f"{nano_each / 1000:g}"


def tight_budget(exchanges):
    """Dollars that the key `tight` has spent in about half the run."""
    mean_tokens = 2 * exchanges
    return max(1.0, round(exchanges * 0.07 * 0.5 * mean_tokens * 2500 / 1e9, 2))


def plain_config(port, mock_port, folder, more=""):
    """Without keys' owners, limits and prices, for what knows none of them. `more`: of each provider."""
    lines = [f"listen: 127.0.0.1:{port}", f"data: {folder}/data", f"workers: {WORKERS}",
             "trusted_proxies: [127.0.0.1/32]", f"log: {{access: {folder}/access.log}}", "auth: keys",
             "providers:"]
    for provider, wire in PROVIDERS.items():
        kind, base = {"openai": ("openai-compatible", "/v1"), "anthropic": ("anthropic", "/v1"),
                      "gemini": ("gemini", "/v1beta")}[wire]
        lines.append(f'  {provider}: {{type: {kind}, url: "http://127.0.0.1:{mock_port}{base}", api_key: x{more}}}')
    lines.append("models:")
    for model, targets in MODELS.items():
        uses = ", ".join(f"{{use: {target}}}" for target in targets)
        lines.append(f"  {model}: {{targets: [{uses}]}}")
    return lines


def plain_keys():
    return ["keys:"] + [f"  {key}: {{secret: {secret(key)}}}" for key in KEYS]


def full_keys(exchanges):
    lines = ["keys:"]
    for name, key in KEYS.items():
        parts = [f"secret: {secret(name)}"]
        parts += [f"team: {key.team}"] if key.team else []
        parts += [f"use_case: {key.use_case}"] if key.use_case else []
        parts += ["may_set: [user, use_case]" if key.sets_use_case else "may_set: [user]"]
        limits = key.limits.replace("TIGHT", f"{tight_budget(exchanges):.2f}") or WIDE
        parts.append(f"limits: {{{limits}}}")
        lines.append(f"  {name}: {{{', '.join(parts)}}}")
    return lines


def config(port, admin_port, mock_port, folder, exchanges, ledger=True):
    if not ledger:
        return "\n".join(plain_config(port, mock_port, folder) + plain_keys()) + "\n"
    lines = plain_config(port, mock_port, folder, ", governance: {data_class: internal}")
    # Faults are played for each exchange by itself: none makes a target rest.
    lines.append("health: {failures: 0, error_share: 0, slow_factor: 0, cool_down: 0s, denied: 0s, probe: 0}")
    lines += full_keys(exchanges)
    lines += [f"admin: 127.0.0.1:{admin_port}",
              f"organisations: {{acme: {{limits: {{{WIDE}}}}}}}",
              "teams:",
              f"  search: {{organisation: acme, limits: {{{WIDE}}}}}",
              f"  ads: {{organisation: acme, limits: {{{WIDE}}}}}",
              "use_cases:"]
    lines += [f"  {name}: {{owner: {name}@example.com, data_class: internal, limits: {{{WIDE}}}}}"
              for name in USE_CASES]
    lines.append("prices:")
    for provider, (fresh, out, cached, written) in PRICES.items():
        lines.append(f'  "{provider}/*": {{input: {dollars(fresh)}, output: {dollars(out)}, '
                     f"cached: {dollars(cached)}, cache_write: {dollars(written)}}}")
    return "\n".join(lines) + "\n"


@dataclasses.dataclass
class Line:
    """One exchange of the script."""
    id: int
    dialect: str
    stream: bool
    wants_usage: bool
    key: str
    model: str
    use_case: str  # that the client names, or ""
    user: str
    abort: str
    abort_at: int
    plans: list

    @property
    def booked_use_case(self):
        return self.use_case or KEYS[self.key].use_case

    def text(self):
        return (f"{self.id} {self.dialect} {self.stream:d} {self.wants_usage:d} {secret(self.key)} {self.model} "
                f"{self.use_case or '-'} {self.user or '-'} {self.abort} {self.abort_at} {' '.join(self.plans)}\n")


KINDS = [("w", 70), ("n", 4), ("c", 6), ("u", 4), ("r", 4), ("e", 8), ("x", 4)]


def weighted(rng, pairs):
    return rng.choices([name for name, _ in pairs], [weight for _, weight in pairs])[0]


def plan(rng, stream):
    kind = weighted(rng, KINDS)
    number = rng.randint(0, 12)
    if kind == "x" and not stream:
        kind = "e"
    if kind == "e":
        number = rng.choice((429, 429, 500, 503, 529))
    delay = weighted(rng, [(0, 85), (1, 9), (3, 5), (10, 1)])
    return f"{kind}.{number}.{rng.randint(0, 15)}.{delay}"


def line(rng, number, keys):
    stream = rng.random() < 0.5
    key = weighted(rng, keys)
    abort, at = weighted(rng, [("-", 92), ("h", 2), ("b", 3), ("t", 3)]), 0
    if abort == "b":
        at = rng.randint(1, 1500)
    elif abort == "t":
        at = rng.randint(0, 12000)
    use_case = rng.choice(USE_CASES + ("",)) if KEYS[key].sets_use_case else ""
    return Line(number, rng.choice("oooag"), stream, rng.random() < 0.5, key, rng.choice(list(MODELS)), use_case,
                f"user-{rng.randrange(USERS)}" if rng.random() < 0.7 else "", abort, at,
                [plan(rng, stream) for _ in range(3)])


def script(rng, exchanges):
    keys = [(name, key.share) for name, key in KEYS.items()]
    return [line(rng, number, keys) for number in range(exchanges)]
