"""What is common to tests that measure: how strictly times are judged, and how figures are printed."""

import harness

PLAIN = False   # the binary has no sanitizer
SYNTH = None    # the program gguf-synth
QUICK = False
SANITIZERS = (b"__asan_init", b"__tsan_init")


def set_up(args):
    global PLAIN, SYNTH, QUICK
    binary = args.weir.read_bytes()
    PLAIN = not any(mark in binary for mark in SANITIZERS)
    SYNTH, QUICK = args.synth, args.quick


def say(what, **values):
    """One line with a figure in it."""
    print(f"figure {what}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()),
          flush=True)


def ms(seconds):
    return f"{seconds * 1000:.2f} ms"


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def judged():
    """May times be judged at all?"""
    return PLAIN or harness.SLACK > 1


def at_most(case, seconds, limit, what):
    if judged():
        case.assertLessEqual(seconds, limit * (1 if PLAIN else harness.SLACK), what)
