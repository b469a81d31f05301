/* All keys of the configuration file. */
#include "config_rows.h"

#include "base/clock.h"
#include "config_policy.h"
#include "config_route.h"
#include "config_syntax.h"

#define MIB  (INT64_C(1) << 20)
#define GIB  (INT64_C(1) << 30)
#define HOUR (3600 * NS_PER_S)
#define NONE SIZE_MAX

/* clang-format off */
#define LIMIT(name, field, standard, text) \
    {ROW(name, ROW_DURATION, config_timeouts, field), .max = 24 * HOUR, .fallback = (standard), \
     .help = (text)}
#define WAIT(name, field, least, standard, text) \
    {ROW(name, ROW_DURATION, config_server, field), .min = (least), .max = HOUR, \
     .fallback = (standard), .help = (text)}
/* clang-format on */

static const struct config_row timeout_rows[] = {
    LIMIT("queue", queue_ns, "60s",
          "Waiting for a place at the target, or for an engine to start."),
    LIMIT("connect", connect_ns, "3s", "Until the TCP connection stands, DNS included."),
    LIMIT("tls", tls_ns, "5s", "For the TLS handshake."),
    LIMIT("write", write_ns, "30s", "Without progress while the request is written."),
    LIMIT("head", head_ns, "300s", "From the request's last byte to the head of the answer."),
    LIMIT("first_token", first_token_ns, "300s",
          "From the request's last byte to the first content of a stream."),
    LIMIT("between_tokens", between_tokens_ns, "120s", "Between two events of a stream."),
    LIMIT("total", total_ns, "600s", "For one attempt, from the first to the last byte."),
};
static const struct config_section timeouts = {
    .title = "timeouts",
    ROWS(timeout_rows),
    .size = sizeof(struct config_timeouts),
    .pos_at = NONE,
    .help = "How long each phase of an attempt at an upstream may take. `0` means no limit. "
            "Providers and engines may have their own; what they leave out is taken from here. A "
            "limit longer than `total` can never apply and is an error.",
};

static const struct config_row tls_rows[] = {
    {ROW("cert", ROW_TEXT, config_tls, cert), .flags = ROW_REQUIRED,
     .help = "File (PEM) with the certificate and its chain.", .example = "/etc/weir/tls.crt"},
    {ROW("key", ROW_TEXT, config_tls, key), .flags = ROW_REQUIRED,
     .help = "File (PEM) with the private key.", .example = "/etc/weir/tls.key"},
    {ROW("client_ca", ROW_TEXT, config_tls, client_ca),
     .help = "File (PEM) of authorities; clients must show a certificate from one of them.",
     .example = "/etc/weir/clients.pem"},
};
static const struct config_section tls = {
    .title = "tls",
    ROWS(tls_rows),
    .size = sizeof(struct config_tls),
    .pos_at = NONE,
    .help = "TLS of a listener.",
};

static const char *const half_close_words[] = {"gone", "answer", NULL};
static const struct config_row listener_rows[] = {
    {ROW("address", ROW_TEXT, config_listener, address), .flags = ROW_REQUIRED,
     .check = syntax_address,
     .help = "`host:port`, `[v6]:port` or `unix:/path`; the host is an IP address or `localhost`. "
             "With port 0 the system picks one.",
     .example = "0.0.0.0:8080"},
    {ROW("tls", ROW_SECTION, config_listener, tls), .section = &tls,
     .help = "Serve TLS. Without it the listener speaks plain HTTP."},
    {ROW("proxy_protocol", ROW_BOOL, config_listener, proxy_protocol), .fallback = "false",
     .help = "Every connection starts with a PROXY v2 header, which names the client."},
    {ROW("half_close", ROW_WORD, config_listener, half_close), .words = half_close_words,
     .fallback = "gone",
     .help = "A client that closes its sending side while it waits is `gone`, or still gets its "
             "`answer`."},
};
static const struct config_section listener = {
    .title = "listen[]",
    ROWS(listener_rows),
    .size = sizeof(struct config_listener),
    .pos_at = offsetof(struct config_listener, pos),
    .shorthand = "address",
    .help = "One address, a list of addresses, or a list of maps with these keys.",
};

static const struct config_row admin_rows[] = {
    {ROW("listen", ROW_TEXT, config, admin_listen), .flags = ROW_REQUIRED, .check = syntax_address,
     .help = "Address of the console and the admin API.", .example = "127.0.0.1:8081"},
    {ROW("token", ROW_SECRET, config, admin_token), .env = "WEIR_ADMIN_TOKEN",
     .help =
         "What callers must send as `Authorization: Bearer`; they may do everything then. Needed "
         "off loopback.",
     .example = "file:/run/secrets/admin-token"},
    {ROW("operator_token", ROW_SECRET, config, operator_token),
     .help = "Another one, for callers that may read, reload, reopen logs, and disable and enable "
             "keys and targets.",
     .example = "file:/run/secrets/operator-token"},
    {ROW("viewer_token", ROW_SECRET, config, viewer_token),
     .help = "Another one, for callers that may only read.",
     .example = "file:/run/secrets/viewer-token"},
    {ROW("tls", ROW_SECTION, config, admin_tls), .section = &tls,
     .help = "TLS of this listener. Needed off loopback."},
};
static const struct config_section admin = {
    .title = "admin",
    ROWS(admin_rows),
    .size = sizeof(struct config),
    .pos_at = offsetof(struct config, admin_pos),
    .shorthand = "listen",
    .help = "The console and the admin API: an address, or a map with these keys. Off loopback it "
            "needs both `token` and `tls`. Absent: no such port; the command line uses the socket "
            "`admin.sock` in the data folder.",
};

static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const never_words[] = {"never", NULL};
static const struct config_row log_rows[] = {
    {ROW("access", ROW_TEXT, config, log_access), .check = syntax_log_target, .fallback = "stdout",
     .help = "Where the line of each request goes: `stdout`, `stderr`, `off` "
             "or a file (absolute path).",
     .example = "/var/log/weir/access.log"},
    {ROW("level", ROW_WORD, config, log_level), .words = level_words, .fallback = "info",
     .help = "Least severe messages that are still logged, on stderr."},
    {.key = "bodies",
     .type = ROW_WORD,
     .at = ROW_NOWHERE,
     .words = never_words,
     .fallback = "never",
     .help = "Prompts and answers are never logged; this key says so."},
};
static const struct config_section log_section = {
    .title = "log",
    ROWS(log_rows),
    .size = sizeof(struct config),
    .pos_at = NONE,
};

static const struct config_row egress_rows[] = {
    {ROW("proxy", ROW_SECRET, config_egress, proxy), .check = syntax_proxy_url,
     .help = "HTTP proxy through which upstreams are reached; may hold `user:password@`. Without "
             "it, that of the variables HTTPS_PROXY and HTTP_PROXY.",
     .example = "\"${HTTPS_PROXY:-}\""},
    {ROW("no_proxy", ROW_TEXT, config_egress, no_proxy),
     .help = "Hosts that are reached without it, with commas between them: names, which stand for "
             "all below them too, addresses and prefixes such as `10.0.0.0/8`. Without it, the "
             "variable NO_PROXY. This machine itself is always reached directly.",
     .example = "\"localhost,.internal\""},
    {ROW("resolvers", ROW_TEXTS, config_egress, resolvers), .max = 8, .check = syntax_resolver,
     .help = "Name servers, with or without a port, to ask instead of the system's.",
     .example = "[10.0.0.2, \"10.0.0.3:5353\"]"},
    {ROW("ca_file", ROW_TEXT, config_egress, ca_file),
     .help = "File (PEM) of authorities that are trusted beside the system's.",
     .example = "/etc/ssl/corp.pem"},
    {ROW("client_cert", ROW_TEXT, config_egress, client_cert),
     .help = "Certificate (PEM) for upstreams that ask for one; goes with `client_key`.",
     .example = "/etc/weir/client.crt"},
    {ROW("client_key", ROW_TEXT, config_egress, client_key), .help = "Its private key (PEM).",
     .example = "/etc/weir/client.key"},
};
static const struct config_section egress = {
    .title = "egress",
    ROWS(egress_rows),
    .size = sizeof(struct config_egress),
    .pos_at = NONE,
    .help = "How upstreams are reached, where a provider says nothing else.",
};

static const struct config_row cors_rows[] = {
    {ROW("origins", ROW_TEXTS, config, cors_origins), .max = 256, .check = syntax_origin,
     .help = "Web origins whose pages may call the client port; `*` for all.",
     .example = "[https://app.example]"},
};
static const struct config_section cors = {
    .title = "cors",
    ROWS(cors_rows),
    .size = sizeof(struct config),
    .pos_at = NONE,
    .help = "Cross-origin requests from browsers. Off by default.",
};

static const struct config_row forward_rows[] = {
    {ROW("request", ROW_TEXTS, config, forward_request), .max = 64, .check = syntax_header_name,
     .help = "Client headers that go upstream beside the usual ones.", .example = "[x-tenant]"},
    {ROW("answer", ROW_TEXTS, config, forward_answer), .max = 64, .check = syntax_header_name,
     .help = "Upstream headers that go to the client beside the usual ones.",
     .example = "[x-cache]"},
};
static const struct config_section forward = {
    .title = "forward",
    ROWS(forward_rows),
    .size = sizeof(struct config),
    .pos_at = NONE,
    .help = "Headers pass by allow-list. Upstream: `openai-beta`, `anthropic-beta`, "
            "`idempotency-key`, `x-client-request-id`, `traceparent`, `tracestate`. Back: "
            "`x-request-id`, `x-ratelimit-*`, `openai-*`, and `retry-after*` of errors.",
};

static const struct config_row limit_rows[] = {
    {ROW("body", ROW_SIZE, config_limits, body_bytes), .min = 1024, .max = 2 * GIB,
     .fallback = "32MiB", .help = "Body of one request, decompressed."},
    {ROW("body_memory", ROW_SIZE, config_limits, body_memory_bytes), .min = MIB, .max = 4096 * GIB,
     .fallback = "1GB", .help = "Bodies of all requests together."},
    {ROW("connections", ROW_INT, config_limits, connections), .min = 1, .max = 10000000,
     .fallback = "20000", .help = "Client connections of the whole process."},
    {ROW("connections_per_client", ROW_INT, config_limits, connections_per_client), .max = 10000000,
     .fallback = "0",
     .help = "Connections from one address (IPv6: one /64), which a PROXY header names where there "
             "is one; `0` means no cap of its own."},
    {ROW("answer", ROW_SIZE, config_limits, answer_bytes), .min = 1024, .max = 2 * GIB,
     .fallback = "64MB", .help = "One answer of an upstream that is not a stream."},
    {ROW("event", ROW_SIZE, config_limits, event_bytes), .min = 1024, .max = GIB, .fallback = "1MB",
     .help = "One server-sent event of an upstream."},
};
static const struct config_section limits = {
    .title = "limits",
    ROWS(limit_rows),
    .size = sizeof(struct config_limits),
    .pos_at = NONE,
    .help = "Ceilings that keep the gateway's memory bounded.",
};

static const struct config_row server_rows[] = {
    WAIT("head_timeout", head_ns, NS_PER_MS, "10s", "For a client to send the head of a request."),
    WAIT("idle_timeout", idle_ns, NS_PER_MS, "75s",
         "How long a connection without a request stays open."),
    WAIT("body_timeout", body_idle_ns, NS_PER_MS, "30s",
         "Without progress while a client sends a body."),
    WAIT("write_timeout", write_ns, NS_PER_MS, "60s",
         "Without progress while a client takes its answer."),
    WAIT("commit_hold", commit_hold_ns, 0, "10s",
         "An answer that is open longer than this gets its head, so that proxies stay; until then "
         "another target may still take over unseen."),
    WAIT("ready_delay", ready_delay_ns, 0, "0",
         "After SIGTERM `/readyz` says 503 while requests are still accepted for this long."),
    WAIT("drain", drain_ns, 0, "30s", "After that: how long open requests may take to end."),
};
static const struct config_section server = {
    .title = "server",
    ROWS(server_rows),
    .size = sizeof(struct config_server),
    .pos_at = NONE,
    .help = "Time limits on clients, and how the gateway stops.",
};

static const struct config_row entra_rows[] = {
    {ROW("tenant", ROW_TEXT, config_entra, tenant), .flags = ROW_REQUIRED, .check = syntax_cloud_id,
     .help = "Directory (tenant) id or domain.", .example = "contoso.onmicrosoft.com"},
    {ROW("client_id", ROW_TEXT, config_entra, client_id), .flags = ROW_REQUIRED,
     .check = syntax_cloud_id, .help = "Application (client) id.",
     .example = "6731de76-14a6-49ae-97bc-6eba6914391e"},
    {ROW("client_secret", ROW_SECRET, config_entra, client_secret), .flags = ROW_REQUIRED,
     .help = "The application's secret.", .example = "file:/run/secrets/entra"},
    {ROW("authority", ROW_TEXT, config_entra, authority), .check = syntax_url,
     .help = "Login service. Absent: `$AZURE_AUTHORITY_HOST`, else "
             "`https://login.microsoftonline.com`.",
     .example = "https://login.microsoftonline.us"},
};
static const struct config_section entra = {
    .title = "providers.<name>.entra",
    ROWS(entra_rows),
    .size = sizeof(struct config_entra),
    .pos_at = offsetof(struct config_entra, pos),
    .help = "Client credentials of an application registered with Microsoft Entra.",
};

static const char *const probe_words[] = {"models", "completion", NULL};
static const struct config_row provider_rows[] = {
    {ROW("type", ROW_TEXT, config_provider, type), .flags = ROW_REQUIRED,
     .help = "What speaks at the other end.", .example = "openai"},
    {ROW("url", ROW_TEXT, config_provider, url), .check = syntax_url, .flags = ROW_QUIET,
     .help = "Base URL, usually with its `/v1`. Hosted types know theirs; self-hosted and "
             "compatible ones need it. Of `azure`, `vertex`, `bedrock` and `sagemaker` the host "
             "is enough: the usual path is added.",
     .example = "http://10.0.0.5:8000/v1"},
    {ROW("api_key", ROW_SECRET, config_provider, api_key),
     .help = "The provider's key. `client`: the client's own credential goes upstream.",
     .example = "\"${OPENAI_API_KEY}\""},
    {ROW("api_keys", ROW_SECRETS, config_provider, api_keys), .max = CONFIG_PROVIDER_KEYS_MAX,
     .help = "Several keys instead of one. They take turns; one that is refused, or has to rest "
             "after a 429, leaves the requests to the others.",
     .example = "[\"${OPENAI_KEY_1}\", \"${OPENAI_KEY_2}\"]"},
    {ROW("headers", ROW_PAIRS, config_provider, headers), .max = 64, .check = syntax_header_name,
     .help = "Headers added to every request. The values count as secret.",
     .example = "{OpenAI-Organization: org-123}"},
    {ROW("models", ROW_TEXTS, config_provider, models), .max = 4096, .check = syntax_alias,
     .help = "Models that this provider has, so that clients may ask for them by their bare names.",
     .example = "[gpt-4o, gpt-4o-mini]"},
    {ROW("drop_unsupported", ROW_TEXTS, config_provider, drop_unsupported), .max = 64,
     .check = syntax_feature,
     .help = "Features of requests that are left out, and named in `x-weir-dropped`, where the "
             "provider lacks them, though they are refused by default: `temperature`, `top_p`, "
             "`top_k`, `penalties`, `logit_bias`, `n`, `stop`, `logprobs`, `tools`, "
             "`custom_tools`, `hosted_tools`, `tool_choice`, `parallel`, `json_object`, "
             "`json_schema`, `image`, `image_url`, `audio`, `video`, `document`, `file_id`, "
             "`native_part`, `prefill`, `citations`, `modalities`.",
     .example = "[hosted_tools, parallel]"},
    {ROW("refuse_unsupported", ROW_TEXTS, config_provider, refuse_unsupported), .max = 64,
     .check = syntax_feature,
     .help = "The other way round, for what is left out by default: `seed`, `strict`, `effort`, "
             "`signature`, `verbosity`, `user`, `metadata`, `service_tier`, `cache`, `store`, "
             "`name`.",
     .example = "[seed]"},
    {ROW("timeouts", ROW_SECTION, config_provider, timeouts), .section = &timeouts,
     .flags = ROW_INHERIT, .help = "Instead of those in `timeouts`.",
     .example = "{first_token: 20s}"},
    {ROW("sni", ROW_TEXT, config_provider, sni), .check = syntax_host,
     .help = "Name that the certificate must be for, where it is not the URL's host.",
     .example = "models.internal"},
    {ROW("ca_file", ROW_TEXT, config_provider, ca_file), .help = "Instead of `egress.ca_file`.",
     .example = "/etc/weir/house-ca.pem"},
    {ROW("client_cert", ROW_TEXT, config_provider, client_cert),
     .help = "Instead of `egress.client_cert`; goes with `client_key`.",
     .example = "/etc/weir/client.crt"},
    {ROW("client_key", ROW_TEXT, config_provider, client_key), .help = "Its private key (PEM).",
     .example = "/etc/weir/client.key"},
    {ROW("proxy", ROW_SECRET, config_provider, proxy), .check = syntax_proxy_url,
     .help = "Instead of `egress.proxy`.", .example = "http://proxy.example:3128"},
    {ROW("max_connections", ROW_INT, config_provider, max_connections), .max = 1000000,
     .fallback = "0", .help = "Connections to it from the whole process; `0` means no cap."},
    {ROW("max_inflight", ROW_INT, config_provider, max_inflight), .max = 1000000, .fallback = "0",
     .help = "Requests at it at the same time; `0` means no cap."},
    {ROW("adaptive_inflight", ROW_BOOL, config_provider, adaptive_inflight), .fallback = "false",
     .help = "How many requests are at it at the same time is found out from the first-token times "
             "of its streams: from 4 on, up to `max_inflight` where that is given."},
    {ROW("queue", ROW_INT, config_provider, queue), .max = 1000000, .fallback = "64",
     .help = "Requests that may wait for a place. Only with `max_inflight` or "
             "`adaptive_inflight`."},
    {ROW("probe_with", ROW_WORD, config_provider, probe_with), .words = probe_words,
     .fallback = "models",
     .help = "What `health.probe` asks it: `models`, its list of models, which is free; or "
             "`completion`: **a completion that it charges for**, the smallest there is, of each "
             "of its models that an alias has. For those that have no free call (Bedrock, "
             "SageMaker, Vertex, Entra), or whose models fail one by one.",
     .example = "completion"},
    {ROW("cost_per_hour", ROW_MONEY, config_provider, cost_per_hour), .max = CONFIG_MONEY_MAX,
     .flags = ROW_OPTIONAL,
     .help = "Dollars that an hour of one replica's hardware costs; divided among the requests by "
             "the work they cause. Of types that you run yourself their requests cost nothing "
             "without it.",
     .example = "2.50"},
    {ROW("replicas", ROW_INT, config_provider, replicas), .min = 1, .max = 100000,
     .flags = ROW_OPTIONAL,
     .help = "How many such replicas run. Only with `cost_per_hour`. Absent: one.", .example = "2"},
    {ROW("governance", ROW_SECTION, config_provider, governance),
     .section = &config_governance_section, .help = "What rules about data have to know of it.",
     .example = "{region: eu}"},
    {ROW("resource", ROW_TEXT, config_provider, cloud.resource), .check = syntax_cloud_label,
     .help = "`azure`: name of the resource, which stands for the `url` "
             "`https://<resource>.openai.azure.com`. Where neither is given: "
             "`$AZURE_OPENAI_ENDPOINT`.",
     .example = "contoso-east"},
    {ROW("surface", ROW_TEXT, config_provider, cloud.surface), .check = syntax_azure_surface,
     .help = "`azure`: `v1` (the default), which takes the deployment's name as the model, or "
             "`classic`, which has it in the URL.",
     .example = "classic"},
    {ROW("api_version", ROW_TEXT, config_provider, cloud.api_version), .check = syntax_cloud_id,
     .help = "`azure`: version of the API. Absent: none for `v1`, `2024-10-21` for `classic`.",
     .example = "preview"},
    {ROW("entra", ROW_SECTION, config_provider, cloud.entra), .section = &entra,
     .help = "`azure`: tokens of Microsoft Entra instead of an `api_key`.",
     .example = "{tenant: contoso.onmicrosoft.com, client_id: 6731de76, "
                "client_secret: \"${ENTRA_SECRET}\"}"},
    {ROW("managed_identity", ROW_TEXT, config_provider, cloud.managed_identity),
     .check = syntax_cloud_id,
     .help = "`azure`: tokens of the machine's own identity instead of an `api_key`: `system`, or "
             "the client id of an assigned one.",
     .example = "system"},
    {ROW("token_scope", ROW_TEXT, config_provider, cloud.token_scope), .check = syntax_url,
     .help = "`azure`: what Entra's tokens are for. Absent: `https://ai.azure.com/.default` for "
             "`v1`, `https://cognitiveservices.azure.com/.default` for `classic`.",
     .example = "https://cognitiveservices.azure.us/.default"},
    {ROW("project", ROW_TEXT, config_provider, cloud.project), .check = syntax_cloud_id,
     .help = "`vertex`: the project. Absent: `$GOOGLE_CLOUD_PROJECT`, else that of `credentials`.",
     .example = "my-project"},
    {ROW("location", ROW_TEXT, config_provider, cloud.location), .check = syntax_cloud_label,
     .help = "`vertex`: a region, `us`, `eu` or `global`. Absent: `$GOOGLE_CLOUD_LOCATION`.",
     .example = "europe-west4"},
    {ROW("publisher", ROW_TEXT, config_provider, cloud.publisher), .check = syntax_vertex_publisher,
     .help = "`vertex`: whose models: `google` (the default), `anthropic`, or `openapi` for those "
             "behind Google's OpenAI-compatible endpoint.",
     .example = "anthropic"},
    {ROW("credentials", ROW_SECRET, config_provider, cloud.credentials), .flags = ROW_LINES,
     .help = "`vertex`: a JSON key of a service account or an `authorized_user`, or `metadata` for "
             "the account of the machine. Absent: the file of `$GOOGLE_APPLICATION_CREDENTIALS`, "
             "else gcloud's application default credentials, else `metadata`.",
     .example = "file:/run/secrets/vertex.json"},
    {ROW("region", ROW_TEXT, config_provider, cloud.region), .check = syntax_cloud_label,
     .help = "`bedrock`, `sagemaker`: the region. Absent: `$AWS_REGION`, else "
             "`$AWS_DEFAULT_REGION`.",
     .example = "eu-central-1"},
    {ROW("profile", ROW_TEXT, config_provider, cloud.profile), .check = syntax_name,
     .help = "`bedrock`, `sagemaker`: a profile of the shared credentials file. Where no keys are "
             "given at all they are looked for in the environment, that file, a web identity, the "
             "container's endpoint and the instance's metadata, in this order.",
     .example = "llm"},
    {ROW("access_key", ROW_SECRET, config_provider, cloud.access_key),
     .help = "`bedrock`, `sagemaker`: access key id; goes with `secret_key`.",
     .example = "\"${AWS_ACCESS_KEY_ID}\""},
    {ROW("secret_key", ROW_SECRET, config_provider, cloud.secret_key),
     .help = "Its secret access key.", .example = "\"${AWS_SECRET_ACCESS_KEY}\""},
    {ROW("session_token", ROW_SECRET, config_provider, cloud.session_token),
     .help = "Its session token, of temporary keys.", .example = "\"${AWS_SESSION_TOKEN}\""},
    {ROW("body", ROW_TEXT, config_provider, cloud.body), .check = syntax_sagemaker_body,
     .help = "`sagemaker`: what the endpoints' containers take: `openai` (the default), chat "
             "completions, or `tgi`, inputs and parameters. The models are the endpoints' names.",
     .example = "tgi"},
};
static const struct config_section provider = {
    .title = "providers.<name>",
    ROWS(provider_rows),
    .size = sizeof(struct config_provider),
    .pos_at = offsetof(struct config_provider, pos),
    .name_at = offsetof(struct config_provider, name),
    .check_name = syntax_provider_name,
    .help = "Upstreams by name. A target, and a client that may, says `<name>/<model>`.",
};

static const struct config_row engine_rows[] = {
    {ROW("model", ROW_TEXT, config_engine, model), .flags = ROW_REQUIRED,
     .help = "GGUF file, or the name of a model that `weir pull` stored.",
     .example = "smollm2-135m-instruct.gguf"},
    {ROW("binary", ROW_TEXT, config_engine, binary),
     .help = "Path of `llama-server`; absent: it is searched for.",
     .example = "/usr/local/bin/llama-server"},
    {ROW("args", ROW_TEXTS, config_engine, args), .max = 256, .check = syntax_engine_argument,
     .help = "Further arguments of the server, one entry each.",
     .example = "[--flash-attn, \"on\"]"},
    {ROW("slots", ROW_INT, config_engine, slots), .min = 1, .max = 1024, .fallback = "4",
     .help = "Requests that it works on at the same time."},
    {ROW("threads", ROW_INT, config_engine, threads), .max = 1024, .fallback = "0",
     .help = "Threads; `0` means all cores."},
    {ROW("context", ROW_INT, config_engine, context), .max = 100000000, .fallback = "0",
     .help = "Tokens of context, all slots together; `0` means the model's own."},
    {ROW("cache_ram", ROW_SIZE, config_engine, cache_ram_mib), .unit = MIB, .max = 1024 * GIB,
     .fallback = "256MiB", .help = "Memory for prompts that were computed before; whole MiB."},
    {ROW("start_timeout", ROW_DURATION, config_engine, start_timeout_ns), .min = NS_PER_S,
     .max = HOUR, .fallback = "120s", .help = "How long a start may go on without any progress."},
    {ROW("drain", ROW_DURATION, config_engine, drain_ns), .max = HOUR, .fallback = "30s",
     .help = "How long a stop waits for open requests."},
    {ROW("queue", ROW_INT, config_engine, queue), .max = 1000000, .fallback = "64",
     .help = "Requests that may wait while it starts or is full."},
    {ROW("cost_per_hour", ROW_MONEY, config_engine, cost_per_hour), .max = CONFIG_MONEY_MAX,
     .flags = ROW_OPTIONAL,
     .help = "Dollars that an hour of its hardware costs; divided among its requests by the work "
             "they cause.",
     .example = "0.40"},
    {ROW("timeouts", ROW_SECTION, config_engine, timeouts), .section = &timeouts,
     .flags = ROW_INHERIT, .help = "Instead of those in `timeouts`.", .example = "{total: 30m}"},
};
static const struct config_section engine = {
    .title = "engines.<name>",
    ROWS(engine_rows),
    .size = sizeof(struct config_engine),
    .pos_at = offsetof(struct config_engine, pos),
    .name_at = offsetof(struct config_engine, name),
    .check_name = syntax_name,
    .help = "Local models by name, which Weir starts and stops itself. A target says "
            "`engine/<name>`.",
};

static const struct config_row passthrough_rows[] = {
    {ROW("path", ROW_TEXT, config_passthrough, path), .check = syntax_path, .flags = ROW_REQUIRED,
     .help = "Path on the client port, or all that start with it when it ends in `*`. The longest "
             "one that fits wins.",
     .example = "/v1/moderations"},
    {ROW("to", ROW_TEXT, config_passthrough, to), .flags = ROW_REQUIRED,
     .help = "The provider that gets these requests as they are.", .example = "openai"},
};
static const struct config_section passthrough = {
    .title = "passthrough[]",
    ROWS(passthrough_rows),
    .size = sizeof(struct config_passthrough),
    .pos_at = offsetof(struct config_passthrough, pos),
    .help = "Paths of a provider that clients may use without any translation.",
};

static const char *const auth_words[] = {"keys", "none", NULL};
static const struct config_row root_rows[] = {
    {ROW("listen", ROW_SECTIONS, config, listeners), .n_at = offsetof(struct config, listeners_n),
     .section = &listener, .max = 64, .flags = ROW_ONE, .fallback = "127.0.0.1:8080",
     .env = "WEIR_LISTEN", .help = "Where clients are served.",
     .example = "[\"127.0.0.1:8080\", \"unix:/run/weir/weir.sock\"]"},
    {ROW("auth", ROW_WORD, config, auth), .words = auth_words,
     .help = "`keys`: clients must send one of the keys. `none`: everybody may ask; only without "
             "keys, and only on loopback or with `--insecure`. Absent: `none` when there are no "
             "keys and all listeners are on loopback, else `keys`. Keys that `weir key` issued are "
             "asked "
             "for only where it is `keys`."},
    {ROW("keys", ROW_NAMED, config, keys), .n_at = offsetof(struct config, keys_n),
     .section = &config_key_section, .max = 10000, .help = "Keys of clients.",
     .example = "{app: {secret: \"${APP_KEY}\"}}"},
    {ROW("timezone", ROW_TEXT, config, timezone), .fallback = "UTC",
     .help = "In which the days, weeks and months of budgets begin: a name of the IANA database.",
     .example = "Europe/Berlin"},
    {ROW("plans", ROW_NAMED, config, plans), .n_at = offsetof(struct config, plans_n),
     .section = &config_plan_section, .max = 1000, .help = "What keys take over.",
     .example = "{free: {limits: {requests_per_minute: 20}}}"},
    {ROW("organisations", ROW_NAMED, config, organisations),
     .n_at = offsetof(struct config, organisations_n), .section = &config_organisation_section,
     .max = 10000, .help = "Who teams and keys belong to.",
     .example = "{acme: {limits: {budget: {month: 5000}}}}"},
    {ROW("teams", ROW_NAMED, config, teams), .n_at = offsetof(struct config, teams_n),
     .section = &config_team_section, .max = 10000, .help = "Who keys belong to.",
     .example = "{search: {organisation: acme, plan: free}}"},
    {ROW("use_cases", ROW_NAMED, config, use_cases), .n_at = offsetof(struct config, use_cases_n),
     .section = &config_use_case_section, .max = 10000, .help = "What requests are for.",
     .example = "{summaries: {owner: jane@example.com, limits: {budget: {month: 200}}}}"},
    {ROW("users", ROW_SECTION, config, users), .section = &config_users_section,
     .help = "End users.", .example = "{plan: free}"},
    {ROW("prices", ROW_NAMED, config, prices), .n_at = offsetof(struct config, prices_n),
     .section = &config_price_section, .max = 10000, .help = "Prices of your own.",
     .example = "{\"openai/gpt-4o\": {input: 2.50, output: 10}}"},
    {ROW("alerts", ROW_SECTION, config, alerts), .section = &config_alerts_section,
     .help = "Budgets that run out."},
    {ROW("ledger", ROW_SECTION, config, ledger), .section = &config_ledger_section,
     .help = "What every attempt used and cost."},
    {IN_ROOT("admin"), .section = &admin, .help = "The console and the admin API.",
     .example = "127.0.0.1:8081"},
    {ROW("metrics", ROW_TEXT, config, metrics_listen), .check = syntax_address,
     .help = "Address of a port with `/metrics` alone, without authentication.",
     .example = "0.0.0.0:8082"},
    {ROW("data", ROW_TEXT, config, data), .env = "WEIR_DATA",
     .help = "Folder of the state. Absent: `--data`, `$STATE_DIRECTORY`, `/var/lib/weir` for root, "
             "else `$XDG_STATE_HOME/weir`.",
     .example = "/var/lib/weir"},
    {ROW("workers", ROW_INT, config, workers), .max = 256, .fallback = "0",
     .help = "Worker threads; `0` means as many as the cgroup grants cores."},
    {IN_ROOT("log"), .section = &log_section, .help = "Logs.",
     .example = "{access: stdout, level: info}"},
    {ROW("egress", ROW_SECTION, config, egress), .section = &egress,
     .help = "The way to the upstreams."},
    {ROW("expose", ROW_TEXTS, config, expose), .max = 1024, .flags = ROW_ONE, .fallback = "*",
     .help = "`provider/model` and `engine/name` names that clients may ask for beside the "
             "aliases; `*` stands for any text. `[]`: aliases only.",
     .example = "[\"openai/gpt-4o*\", \"engine/*\"]"},
    {IN_ROOT("cors"), .section = &cors, .help = "Browsers."},
    {IN_ROOT("forward"), .section = &forward, .help = "Headers that pass."},
    {ROW("trusted_proxies", ROW_TEXTS, config, trusted_proxies), .max = 1024,
     .check = syntax_prefix, .help = "Addresses whose `X-Forwarded-For` counts.",
     .example = "[10.0.0.0/8]"},
    {ROW("limits", ROW_SECTION, config, limits), .section = &limits, .help = "Ceilings."},
    {ROW("server", ROW_SECTION, config, server), .section = &server,
     .help = "Time limits on clients."},
    {ROW("timeouts", ROW_SECTION, config, timeouts), .section = &timeouts,
     .help = "Time limits on upstreams."},
    {ROW("retry", ROW_SECTION, config, retry), .section = &config_retry_section,
     .help = "What is tried again.", .example = "{attempts: 3}"},
    {ROW("health", ROW_SECTION, config, health), .section = &config_health_section,
     .help = "When a target counts as sick.", .example = "{failures: 3, ejection: 30s}"},
    {ROW("providers", ROW_NAMED, config, providers), .n_at = offsetof(struct config, providers_n),
     .section = &provider, .max = 1000, .help = "Upstreams.",
     .example = "{openai: {type: openai, api_key: \"${OPENAI_API_KEY}\"}}"},
    {ROW("providers_from_env", ROW_BOOL, config, providers_from_env), .fallback = "false",
     .help = "Adds a provider of each type in [providers.md](providers.md) whose key variable is "
             "set, by the type's name."},
    {ROW("engines", ROW_NAMED, config, engines), .n_at = offsetof(struct config, engines_n),
     .section = &engine, .max = 256, .help = "Local models.",
     .example = "{smollm2: {model: smollm2-135m-instruct.gguf}}"},
    {ROW("models", ROW_NAMED, config, models), .n_at = offsetof(struct config, models_n),
     .section = &config_model_section, .max = 10000, .help = "Aliases.",
     .example = "{chat: {targets: [openai/gpt-4o-mini]}}"},
    {ROW("passthrough", ROW_SECTIONS, config, passthrough),
     .n_at = offsetof(struct config, passthrough_n), .section = &passthrough, .max = 1024,
     .help = "Paths handed through.", .example = "[{path: /v1/moderations, to: openai}]"},
};
const struct config_section config_root = {
    .title = "The file",
    ROWS(root_rows),
    .size = sizeof(struct config),
    .pos_at = NONE,
};

const struct config_row *config_row_find(const struct config_section *sec, struct slice key_text)
{
    for (size_t i = 0; i < sec->rows_n; i++) {
        if (slice_is(key_text, sec->rows[i].key))
            return &sec->rows[i];
    }
    return NULL;
}
