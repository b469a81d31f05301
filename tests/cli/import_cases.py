"""weir import litellm: what becomes of a LiteLLM configuration and its keys, and which lines are named."""
import contextlib
import datetime
import hashlib
import json
import pathlib
import shutil
import sqlite3
import stat
import tempfile
import unittest

import harness

SECRET = "sk-very-secret-1"
EXPIRES_NS = int(datetime.datetime(2036, 5, 1, 12, tzinfo=datetime.timezone.utc).timestamp()) * 10**9
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()

CONFIG = """\
model_list:
  - model_name: gpt-4o
    litellm_params: &eu
      model: azure/gpt-4o-eu
      api_base: https://eu.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY
      api_version: "2024-10-21"
      rpm: 60
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, rpm: 40, tpm: 1000}
  - model_name: gpt-4o-us
    litellm_params: {<<: *eu, api_base: https://us.openai.azure.com}
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-5
      input_cost_per_token: 0.000003
      output_cost_per_token: 1.5e-05
  - model_name: house
    litellm_params: {model: openai/llama, api_base: http://10.0.0.5:8000/v1, api_key: none, timeout: 30}
  - model_name: local
    litellm_params: {model: ollama/llama3, api_base: http://localhost:11434}
  - model_name: "groq/*"
    litellm_params: {model: groq/*, api_key: os.environ/GROQ_API_KEY}
litellm_settings:
  fallbacks: [{gpt-4o: [claude, house]}]
  default_fallbacks: [house]
router_settings:
  model_group_alias: {gpt-4: gpt-4o}
  timeout: 120
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""
VARIABLES = {name: "x-1" for name in ("AZURE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY",
                                      "LITELLM_MASTER_KEY")}


class ImportCase(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.out, self.data = self.home / "weir.yaml", self.home / "data"

    def file(self, name, text):
        path = self.home / name
        path.write_text(text, "utf-8")
        return path

    def run_import(self, config=CONFIG, keys=None, *args, status=0):
        more = ["--keys", keys] if keys else []
        result = harness.weir("import", "litellm", self.file("litellm.yaml", config), *more, "-o", self.out, "--data",
                              self.data, *args, home=self.home)
        self.assertEqual(result.code, status, result)
        return result

    def check(self, status=0):
        result = harness.weir("check", self.out, home=self.home, **VARIABLES)
        self.assertEqual(result.code, status, result)
        return result.out

    def stored(self):
        """{name: row} of the store."""
        with contextlib.closing(sqlite3.connect(self.data / "keys.db")) as db:
            db.row_factory = sqlite3.Row
            return {row["name"]: dict(row) for row in db.execute("SELECT * FROM keys")}

    def dump(self, *rows):
        return self.file("keys.json", json.dumps(list(rows)))


class Models(ImportCase):
    def test_whole(self):
        self.run_import()
        self.assertIn("is right: 7 providers, 0 engines, 6 models", self.check())
        text = self.out.read_text()
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o600)
        for part in ('azure: {type: azure, url: "https://eu.openai.azure.com", api_key: "${AZURE_API_KEY}", '
                     'surface: classic, api_version: "2024-10-21"}',
                     'azure-2: {type: azure, url: "https://us.openai.azure.com",',
                     'openai: {type: openai, api_key: "${OPENAI_API_KEY}"}',
                     'openai-2: {type: openai-compatible, url: "http://10.0.0.5:8000/v1", api_key: "none", '
                     'timeouts: {total: 30s}}',
                     'ollama: {type: ollama, url: "http://localhost:11434/v1"}',
                     '  gpt-4o:\n    targets:\n      - "azure/gpt-4o-eu"\n      - "openai/gpt-4o"\n'
                     '    fallback:\n      - "anthropic/claude-sonnet-5"\n      - "openai-2/llama"\n'
                     '    limits: {requests_per_minute: 100}\n',
                     '  claude:\n    targets:\n      - "anthropic/claude-sonnet-5"\n    fallback:\n      - "openai-2/llama"\n',
                     '  gpt-4:\n    targets:\n      - "azure/gpt-4o-eu"\n      - "openai/gpt-4o"\n',
                     'expose: ["groq/*"]', "timeouts: {total: 120s}",
                     '"anthropic/claude-sonnet-5": {input: 3.0, output: 15.0}',
                     'litellm-master: {secret: "${LITELLM_MASTER_KEY}"}'):
            self.assertIn(part, text)

    def test_cloud(self):
        key = self.file("vertex.json", '{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}')
        self.run_import(f"""\
model_list:
  - model_name: nova
    litellm_params: {{model: bedrock/converse/amazon.nova-pro-v1:0, aws_region_name: eu-central-1,
                     aws_access_key_id: os.environ/A, aws_secret_access_key: os.environ/B}}
  - model_name: claude
    litellm_params: {{model: vertex_ai/claude-sonnet-5, vertex_project: p, vertex_location: europe-west4,
                     vertex_credentials: {key}}}
  - model_name: azure
    litellm_params: {{model: azure/d, api_base: "https://x.openai.azure.com", tenant_id: t, client_id: c,
                     client_secret: os.environ/S}}
""")
        text = self.out.read_text()
        for part in ('{type: bedrock, region: "eu-central-1", access_key: "${A}", secret_key: "${B}"}',
                     '"bedrock/amazon.nova-pro-v1:0"',
                     f'{{type: vertex, project: "p", location: "europe-west4", publisher: anthropic, '
                     f'credentials: "file:{key}"}}',
                     'entra: {tenant: "t", client_id: "c", client_secret: "${S}"}'):
            self.assertIn(part, text)

    def test_each_unsupported_line_is_named(self):
        err = self.run_import("""\
model_list:
  - model_name: a
    litellm_params:
      model: openai/a
      temperature: 0.1
    model_info:
      team_id: x
  - model_name: b
    litellm_params: {model: watsonx/granite}
  - model_name: c
    litellm_params: {model: azure_ai/x}
litellm_settings:
  cache: true
  fallbacks: [{a: [nothing]}, {nobody: [a]}]
router_settings:
  routing_strategy: least-busy
  num_retries: 2
  model_group_alias: {z: nobody}
general_settings:
  alerting: [slack]
  database_url: x
guardrails: []
""").err
        for line, part in ((5, "temperature"), (7, "team_id"), (9, "`watsonx`"), (8, "`b`: this deployment is left out"),
                           (11, "needs an `api_base`"), (13, "`litellm_settings.cache`"), (14, "no model `nothing`"),
                           (14, "no model `nobody`"), (16, "routing_strategy"), (17, "num_retries"),
                           (18, "no model `nobody`"), (20, "alerting"), (21, "--keys"), (22, "`guardrails`")):
            self.assertRegex(err, rf"(?m)^\S*litellm\.yaml:{line}: .*{part}")
        self.check()

    def test_drop_params(self):
        self.run_import("model_list: [{model_name: a, litellm_params: {model: groq/a}}]\n"
                        "litellm_settings: {drop_params: true}\n")
        self.assertIn("drop_unsupported: [temperature, ", self.out.read_text())
        self.check()

    def test_secret_in_the_file_moves_as_it_is(self):
        self.run_import("model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: 'p${x}\\q'}}]\n")
        self.assertIn('api_key: "p$${x}\\\\q"', self.out.read_text())
        self.check()

    def test_files_that_are_none(self):
        for text, part in (("- a\n", "no LiteLLM configuration"), ("a: [\n", ":"), ("", "no LiteLLM configuration")):
            err = self.run_import(text, status=1).err
            self.assertIn(part, err)
            self.assertFalse(self.out.exists())
        result = harness.weir("import", "litellm", self.home / "none", "-o", self.out, home=self.home)
        self.assertEqual(result.code, 1)
        self.assertEqual(harness.weir("import", home=self.home).code, 2)
        self.assertEqual(harness.weir("import", "kong", "x", home=self.home).code, 2)

    def test_nothing_is_overwritten(self):
        self.out.write_text("mine")
        self.assertIn("--force", self.run_import(status=1).err)
        self.assertEqual(self.out.read_text(), "mine")
        self.run_import(CONFIG, None, "--force")
        self.check()


class Keys(ImportCase):
    ROW = {"token": DIGEST, "key_name": "sk-...et-1", "key_alias": "ci bot", "models": ["gpt-4o", "claude"],
           "max_budget": 50.0, "budget_duration": "30d", "tpm_limit": 100000, "rpm_limit": 60,
           "max_parallel_requests": 4, "expires": "2036-05-01T12:00:00.5Z", "team_id": "search", "user_id": "jane",
           "blocked": False, "spend": 3.5, "metadata": {}}

    def check_row(self):
        row = self.stored()["ci-bot"]
        self.assertEqual(row["digest"].hex(), DIGEST)
        self.assertEqual((row["hint"], row["disabled"], row["expires_ns"]), ("sk-...et-1", 0, EXPIRES_NS))
        self.assertIn("jane", row["note"])
        rights = json.loads(row["rights"])
        self.assertEqual(float(rights["limits"]["budget"].pop("month")), 50)
        self.assertEqual(rights, {"models": ["gpt-4o", "claude"], "team": "search",
                                  "limits": {"requests_per_minute": 60, "tokens_per_minute": 100000, "concurrency": 4,
                                             "budget": {}}})
        self.assertIn("  search: {}", self.out.read_text())

    def test_json(self):
        self.run_import(CONFIG, self.dump(self.ROW))
        self.check_row()
        self.assertNotIn(DIGEST, self.out.read_text())
        self.assertEqual(stat.S_IMODE((self.data / "keys.db").stat().st_mode), 0o600)

    def test_json_lines(self):
        other = {**self.ROW, "token": "b" * 64, "key_alias": None}
        self.run_import(CONFIG, self.file("k.jsonl", json.dumps(self.ROW) + "\n\n" + json.dumps(other) + "\n"))
        self.check_row()
        self.assertEqual(sorted(self.stored()), ["ci-bot", "sk-...et-1"])

    def test_answer_of_the_api(self):
        self.run_import(CONFIG, self.file("k.json", json.dumps({"keys": [self.ROW], "total_count": 1}, indent=1)))
        self.check_row()

    def test_csv(self):
        text = ("token,key_name,key_alias,spend,expires,models,user_id,team_id,max_parallel_requests,metadata,blocked,"
                "tpm_limit,rpm_limit,max_budget,budget_duration\r\n"
                f'{DIGEST},sk-...et-1,"ci bot",3.5,2036-05-01 12:00:00.5+00,"{{gpt-4o,""claude""}}",jane,search,4,'
                '"{}",f,100000,60,50.0,30d\r\n')
        self.run_import(CONFIG, self.file("k.csv", text))
        self.check_row()

    def test_periods(self):
        rows = [{"token": f"{i:064x}", "key_alias": f"k{i}", "max_budget": 1, "budget_duration": d}
                for i, d in enumerate(("1h", "24h", "7d", "1mo", "2h", "10d", None, "90d", "30s"))]
        err = self.run_import(CONFIG, self.dump(*rows)).err
        want = ("hour", "day", "week", "month", "day", "month", "month", "month", "hour")
        for i, period in enumerate(want):
            rights = json.loads(self.stored()[f"k{i}"]["rights"])
            self.assertEqual(list(rights["limits"]["budget"]), [period], i)
        self.assertEqual(err.count("taken as one for each"), 5)

    def test_blocked_expired_unreadable(self):
        rows = ({**self.ROW, "blocked": True, "key_alias": "blocked"},
                {"token": "a" * 64, "key_alias": "when", "expires": "soon"},
                {"token": "nothing", "key_alias": "bad"},
                {"token": "sk-kept-as-it-is", "key_alias": "plain"},
                {"token": "sk-kept-as-it-is", "key_alias": "twice"},
                {"token": "c" * 64, "key_alias": "meta", "metadata": {"tags": ["x"]}, "models": ["all-team-models"]})
        result = self.run_import(CONFIG, self.dump(*rows))
        stored = self.stored()
        self.assertEqual(sorted(stored), ["blocked", "meta", "plain", "when"])
        self.assertEqual([stored[n]["disabled"] for n in ("blocked", "when", "plain")], [1, 1, 0])
        self.assertEqual(stored["plain"]["digest"].hex(), hashlib.sha256(b"sk-kept-as-it-is").hexdigest())
        self.assertEqual(json.loads(stored["meta"]["rights"]), {})
        for part in ("`token` is no SHA-256", "the same key as", "`metadata`", "`expires`"):
            self.assertIn(part, result.err)
        self.assertNotIn("kept-as-it-is", result.err + result.out)

    def test_models_that_are_gone(self):
        """A model without a counterpart is left out of the list; a key never gets all because its own are gone."""
        rows = ({"token": "a" * 64, "key_alias": "some", "models": ["gpt-4o", "gone", "groq/llama", "gpt-4*"]},
                {"token": "b" * 64, "key_alias": "none", "models": ["gone"]},
                {"token": "c" * 64, "key_alias": "odd", "models": "gone"},
                {"token": "d" * 64, "key_alias": "all", "models": ["*"]})
        err = self.run_import(CONFIG, self.dump(*rows)).err
        stored = self.stored()
        self.assertEqual(json.loads(stored["some"]["rights"])["models"], ["gpt-4o", "groq/llama", "gpt-4*"])
        self.assertEqual(json.loads(stored["all"]["rights"])["models"], ["*"])
        self.assertEqual({n: r["disabled"] for n, r in stored.items()}, {"some": 0, "none": 1, "odd": 1, "all": 0})
        self.assertEqual(err.count("there is no model `gone`"), 2)
        self.assertEqual(err.count("is disabled"), 2)

    def test_same_alias_twice(self):
        self.run_import(CONFIG, self.dump({"token": "a" * 64, "key_alias": "x"}, {"token": "b" * 64, "key_alias": "x"},
                                          {"token": "c" * 64, "key_alias": "../é"}))
        self.assertEqual(sorted(self.stored()), ["key-cccccccc", "x", "x-2"])

    def test_again(self):
        keys = self.dump(self.ROW)
        self.run_import(CONFIG, keys)
        err = self.run_import(CONFIG, keys, "--force", status=1).err
        self.assertIn("there already", err)
        self.check_row()

    def test_what_does_not_fit(self):
        err = self.run_import(CONFIG, self.dump({"token": "a" * 64, "key_alias": "x", "rpm_limit": 10**15}), status=1).err
        self.assertRegex(err, r"keys\.json:1: key `x`: .*requests_per_minute")
        self.assertEqual(self.stored(), {})

    def test_in_the_file(self):
        self.run_import(CONFIG, self.dump(self.ROW, {"token": "b" * 64, "key_alias": "no", "blocked": True}),
                        "--keys-in-file")
        self.check()
        text = self.out.read_text()
        self.assertIn(f'ci-bot: {{"sha256": "{DIGEST}", "expires": "2036-05-01T12:00:00Z", "models":["gpt-4o","claude"]', text)
        self.assertFalse(self.data.exists())

    def test_dumps_that_are_none(self):
        for text in ("[1]", "{", "a,b\n1,2\n", f"token,x\n{DIGEST}\n", f'token\n"{DIGEST}\n', "[}"):
            self.run_import(CONFIG, self.file("k", text), status=1)
            self.assertFalse(self.out.exists(), text)
