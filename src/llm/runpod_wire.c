/* RunPod's own API in front of worker-vllm: a chat completion inside a job. Sources: docs.runpod.io
 * on operations and job states; runpod-workers/worker-vllm, src/handler.py, tests/test_handler.py
 * (openai_route, openai_input; what the engine yields is gathered, so that `output` is a list of
 * one answer, or of chunks, or of {"error": ...}).
 *
 * The answer is always asked for whole, whether or not the client streams. /runsync holds the
 * request for a while, and may answer with a job that is still under way. */
#include "job.h"
#include "member.h"
#include "openai_internal.h"

#define OUTPUTS_MAX 65536

static struct slice path(struct arena *a, const struct llm_provider *provider, enum llm_op op,
                         struct slice model, bool stream)
{
    (void)a;
    (void)provider;
    (void)model;
    (void)stream;
    return op == LLM_CHAT || op == LLM_COMPLETIONS ? SLICE("/runsync") : SLICE_NONE;
}

static bool write_chat(struct llm_writing *w)
{
    struct llm_chat chat = *w->chat;
    struct llm_writing inner = *w;
    chat.stream = false;
    inner.chat = &chat;
    buf_lit(w->out, "{\"input\":{\"openai_route\":\"/v1/chat/completions\",\"openai_input\":");
    bool ok = openai_write_chat(&inner);
    w->dropped = inner.dropped;
    if (!ok)
        return false;
    buf_lit(w->out, "}}");
    w->bad->no_memory = w->out->failed;
    return !w->out->failed;
}

static const struct job_status statuses[] = {
    {"COMPLETED", LLM_POLL_DONE, 0, NULL},
    {"IN_PROGRESS", LLM_POLL_PENDING, 0, NULL},
    {"IN_QUEUE", LLM_POLL_PENDING, 0, NULL},
    {"FAILED", LLM_POLL_FAILED, 502, "The job failed."},
    {"CANCELLED", LLM_POLL_FAILED, 502, "The job was cancelled."},
    {"TIMED_OUT", LLM_POLL_FAILED, 504, "The job timed out."},
};
static const struct job_rows job = {statuses, ARRAY_LEN(statuses), "/status/"};

static enum llm_poll poll_job(struct llm_decoder *d, struct slice body, struct slice *ret_path)
{
    return job_poll(d, body, &job, ret_path);
}

/* The texts of `output`'s elements, or of itself where it is an object, in the arena: each is
 * parsed again by itself. NULL: it is neither, or there is no memory. */
static const struct slice *outputs_of(struct llm_decoder *d, const struct json_doc *doc,
                                      uint32_t output, size_t *ret_n)
{
    bool list = member_is(doc, output, JSON_ARRAY);
    size_t n = 0;
    if (!list && !member_is(doc, output, JSON_OBJECT))
        return NULL;
    uint32_t first = list ? json_first(doc, output) : output;
    uint32_t end = json_end(doc, output);
    for (uint32_t i = first; i < end; i = json_after(doc, i))
        n++;
    struct slice *texts = n <= OUTPUTS_MAX ? arena_alloc(d->arena, n * sizeof *texts) : NULL;
    if (texts == NULL)
        return NULL;
    n = 0;
    for (uint32_t i = first; i < end; i = json_after(doc, i))
        texts[n++] = json_raw(doc, i);
    *ret_n = n;
    return texts;
}

static bool decode_answer(struct llm_decoder *d, struct slice body)
{
    struct json_doc doc;
    size_t n = 0;
    if (json_parse(d->json, body, JSON_ALLOW_LONE_SURROGATES, &doc) != JSON_OK)
        return false;
    const struct job_status *row = job_status_of(&doc, &job);
    if (row == NULL || row->poll == LLM_POLL_PENDING)
        return false;
    if (row->poll == LLM_POLL_FAILED) {
        job_emit_error(d, &doc, row);
        return true;
    }
    const struct slice *texts = outputs_of(d, &doc, member_of(&doc, 0, "output"), &n);
    if (texts == NULL)
        return false;
    for (size_t i = 0; i < n && !d->ended; i++) {
        if (!openai_wire.decode_event(d, SLICE_NONE, texts[i]))
            return false;
    }
    return d->ended || openai_wire.decode_event(d, SLICE_NONE, SLICE("[DONE]"));
}

const struct llm_wire runpod_wire = {
    .name = "runpod",
    .family = FAMILY_NONE,
    .framing = FRAMING_SSE,
    .path = path,
    .write_chat = write_chat,
    .decode_event = job_no_event,
    .decode_end = job_no_end,
    .decode_answer = decode_answer,
    .read_error = openai_read_error,
    .poll = poll_job,
};
