#!/usr/bin/env python3
"""Turns a table of prices, as `weir prices update` keeps it, into the C arrays of the built-in one.

  table.py prices.json > src/policy/price_table.inc

Equal texts and equal prices are stored once. The rows are described in src/policy/price_table.h.
"""
import argparse
import datetime
import decimal
import json
import sys

ITEMS = ("input", "output", "cached", "cache_write", "request")
UNKNOWN, NONE = -1, 0xffff
ABILITIES = ("tools", "images", "schema")  # in the order of their bits in llm/openai.h


class Rows:
    """Rows of C text, equal ones once if `shared`."""

    def __init__(self, shared=False):
        self.rows, self.seen, self.shared = [], {}, shared

    def add(self, row):
        if self.shared and row in self.seen:
            return self.seen[row]
        self.seen[row] = len(self.rows)
        self.rows.append(row)
        return len(self.rows) - 1


class Pool:
    """All text behind each other; a text that is part of another one is not stored again."""

    def __init__(self, texts):
        self.text = b""
        for text in sorted(set(texts), key=lambda t: (-len(t), t)):
            if text.encode() not in self.text:
                self.text += text.encode()

    def at(self, text):
        return self.text.index(text.encode())

    def c_lines(self):
        for i in range(0, len(self.text), 90):
            part = self.text[i:i + 90].decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
            yield f'    "{part}"'


def nano(dollars):
    return int(decimal.Decimal(str(dollars)).scaleb(9))


def tier(rates, above):
    values = ", ".join(str(nano(rates[i]) if i in rates else UNKNOWN) for i in ITEMS)
    return f"{{{above + 1 if above else 0}, {{{values}}}}}"


def tiers(price):
    rows = [tier(price["rates"], 0)] + [tier(t, t["tokens"]) for t in price.get("above", ())]
    return f"{len(rows)}, {{{', '.join(rows)}}}"


def seconds(time):
    h, m, s = map(int, time.split(":"))
    return h * 3600 + m * 60 + s


def day(text):
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


class Table:
    def __init__(self, data):
        self.data = data
        self.providers = data["providers"]
        self.pool = Pool(self.texts())
        self.prices, self.windows = Rows(shared=True), Rows()
        self.types, self.fallbacks, self.names = Rows(), Rows(), Rows()
        self.patterns, self.models, self.laters, self.rows = Rows(), Rows(), Rows(), Rows()
        for number, provider in enumerate(self.providers):
            self.add_provider(number, provider)

    def texts(self):
        yield self.data["date"]
        for provider in self.providers:
            yield provider["name"]
            yield from provider.get("types", [provider["name"]])
            for model in provider["models"]:
                yield model["id"].lower()
                for member in ("names", "patterns", "except"):
                    yield from model.get(member, ())

    def text(self, text):
        return f"{self.pool.at(text)}, {len(text.encode())}"

    def price(self, price):
        if "rates" not in price:
            return NONE
        windows = [f"{{{seconds(w['from'])}, {seconds(w['to'])}, {tiers(w)}}}"
                   for w in price.get("windows", ())]
        at = "NULL"
        if windows:
            at = f"&windows[{len(self.windows.rows)}]"
            for window in windows:
                self.windows.add(window)
        return self.prices.add(f"{{{tiers(price)}, {len(windows)}, {at}}}")

    def add_model(self, model, names):
        number = len(self.models.rows)
        price, later = self.price(model), model.get("later", ())
        for change in later:
            self.laters.add(f"{{{day(change['from'])}, {self.price(change)}}}")
        first = len(self.laters.rows) - len(later)
        row = f"{{{self.text(model['id'].lower())}}}, {model.get('context', 0)}, {price}"
        supports = model.get("supports", {})
        can, cannot = (sum(1 << i for i, name in enumerate(ABILITIES) if supports.get(name) is said)
                       for said in (True, False))
        self.models.add(f"{{{row}, {first}, {len(later)}, {{{can}, {cannot}}}}}")
        names += [(name.encode(), number) for name in model.get("names", ())]
        for member in ("except", "patterns"):
            for pattern in model.get(member, ()):
                flag = "true" if member == "except" else "false"
                self.patterns.add(f"{{{self.text(pattern)}, {number}, {flag}}}")

    def add_provider(self, number, provider):
        names, first = [], [len(r.rows) for r in (self.names, self.patterns, self.models)]
        for name in provider.get("types", [provider["name"]]):
            self.types.add(f"{{{{{self.text(name)}}}, {number}}}")
        for model in provider["models"]:
            self.add_model(model, names)
        for name, model in sorted(names):
            self.names.add(f"{{{self.text(name.decode())}, {model}}}")
        fallback = [p["name"] for p in self.providers]
        asked = [fallback.index(name) for name in provider.get("fallback", ())]
        at = len(self.fallbacks.rows)
        for provider_number in asked:
            self.fallbacks.add(str(provider_number))
        counts = [len(r.rows) - f for r, f in zip((self.names, self.patterns, self.models), first)]
        ranges = ", ".join(f"{f}, {n}" for f, n in zip(first, counts))
        self.rows.add(f"{{{{{self.text(provider['name'])}}}, {ranges}, {at}, {len(asked)}}}")

    def write(self, out):
        def array(kind, name, rows):
            out.write(f"static const {kind} {name}[] = {{\n")
            line = "   "
            for row in rows.rows or ["{0}" if kind.startswith("struct") else "0"]:
                if len(line) + len(row) > 98 and line.strip():
                    out.write(line + "\n")
                    line = "   "
                line += f" {row},"
            out.write(line + "\n};\n\n")

        out.write("/* The built-in prices of %d models at %d providers, as of %s. Generated by `make "
                  "prices`\n * from the price data of the project genai-prices (MIT), and what the "
                  "models can do from the\n * facts that LiteLLM (MIT) gathers. */\n"
                  % (len(self.models.rows), len(self.rows.rows), self.data["date"]))
        out.write("static const char pool[] =\n" + "\n".join(self.pool.c_lines()) + ";\n\n")
        array("struct price_type", "types", self.types)
        array("struct price_provider", "providers", self.rows)
        array("uint16_t", "fallbacks", self.fallbacks)
        array("struct price_name", "names", self.names)
        array("struct price_pattern", "patterns", self.patterns)
        array("struct price_model", "models", self.models)
        array("struct price_later", "laters", self.laters)
        array("struct price_window", "windows", self.windows)
        array("struct price", "prices", self.prices)
        out.write(f"#define TABLE_DATE {{{self.text(self.data['date'])}}}\n"
                  f"#define TYPES_N {len(self.types.rows)}\n"
                  f"#define PROVIDERS_N {len(self.rows.rows)}\n"
                  f"#define MODELS_N {len(self.models.rows)}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=argparse.FileType(encoding="utf-8"))
    table = Table(json.load(parser.parse_args().prices))
    table.write(sys.stdout)
    print(f"{len(table.models.rows)} models, {len(table.names.rows)} names, "
          f"{len(table.patterns.rows)} patterns, {len(table.prices.rows)} different prices",
          file=sys.stderr)


if __name__ == "__main__":
    main()
