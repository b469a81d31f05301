/* Joins a cut answer with its continuation. The continuation is matched byte by byte against places
 * in the delivered text, of which the first that agrees with all so far is kept: since its bytes
 * are that place's bytes, nothing has to be held in memory, and pieces may be cut anywhere. */
#include "llm/join.h"

/* Length of the white space character at the start of `s`, 0: there is none. The characters are
 * those that Python's str.strip and hence chat templates' `trim` take off. */
static size_t space_at(struct slice s)
{
    static const struct slice wide[] = {
        {"\xC2\x85", 2},     {"\xC2\xA0", 2},     {"\xE1\x9A\x80", 3}, {"\xE2\x80\xA8", 3},
        {"\xE2\x80\xA9", 3}, {"\xE2\x80\xAF", 3}, {"\xE2\x81\x9F", 3}, {"\xE3\x80\x80", 3}};
    if (s.n == 0)
        return 0;
    unsigned char c = (unsigned char)s.p[0];
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        if (slice_starts(s, wide[i]))
            return wide[i].n;
    }
    bool quad = s.n >= 3 && memcmp(s.p, "\xE2\x80", 2) == 0 && (unsigned char)s.p[2] >= 0x80 &&
                (unsigned char)s.p[2] <= 0x8A; /* U+2000 to U+200A */
    return quad ? 3 : 0;
}

/* Where the white space at the start of the text ends. */
static size_t lead_of(struct slice text)
{
    size_t at = 0, n;
    while ((n = space_at(slice_from(text, at))) > 0)
        at += n;
    return at;
}

struct slice llm_join_sent(struct slice text)
{
    for (size_t n = 1; n <= 3 && n <= text.n; n++) {
        if (space_at(slice_of(text.p + text.n - n, n)) == n) {
            text.n -= n;
            n = 0;
        }
    }
    return text;
}

/* A word begins at `i` > 0: behind white space, or a character outside ASCII that is written
 * without spaces (CJK), or that follows ASCII. */
static bool is_word_start(struct slice text, size_t i)
{
    unsigned char c = (unsigned char)text.p[i], before = (unsigned char)text.p[i - 1];
    if (c < 0x80)
        return before <= ' ' && c > ' ';
    return c >= 0xC0 && (before < 0x80 || (c >= 0xE3 && c <= 0xED));
}

/* Where to begin so as to have at least `want` bytes up to `end`. */
static size_t word_before(struct slice text, size_t lead, size_t end, size_t want)
{
    if (end - lead <= want)
        return lead;
    size_t i = end - want, least = i - lead > 64 ? i - 64 : lead;
    for (; i > least; i--) {
        if (is_word_start(text, i))
            return i;
    }
    while (i > lead &&
           ((unsigned char)text.p[i] <= ' ' || ((unsigned char)text.p[i] & 0xC0) == 0x80))
        i--;
    return i;
}

struct slice llm_join_anchor(struct slice text)
{
    size_t lead = lead_of(text), end = llm_join_sent(text).n, want = JOIN_SURE;
    while (end >= lead + JOIN_SURE) {
        size_t at = word_before(text, lead, end, want);
        struct slice words = slice_from(text, at);
        if (words.n > JOIN_ANCHOR_MAX)
            break;
        if (memmem(text.p, text.n - 1, words.p, words.n) == NULL)
            return words;
        if (at == lead)
            break;
        want = end - at + JOIN_SURE / 2;
    }
    return SLICE_NONE;
}

void llm_join_init(struct llm_join *j, enum llm_continue how, struct slice text)
{
    static const enum llm_join_step steps[] = {[LLM_CONTINUE_PREFILL] = JOIN_OWED,
                                               [LLM_CONTINUE_ECHOED] = JOIN_ECHO,
                                               [LLM_CONTINUE_INSTRUCTION] = JOIN_MARGIN};
    ASSERT(how != LLM_CONTINUE_NOT);
    *j = (struct llm_join){.text = text, .how = how, .step = steps[how]};
    j->lead = lead_of(text);
    j->sent = llm_join_sent(text).n;
    ASSERT(j->lead < j->sent);
    size_t least = how == LLM_CONTINUE_INSTRUCTION ? llm_join_anchor(text).n : JOIN_SURE;
    ASSERT(least > 0);
    j->tail = MAX_OF(j->lead + 1, text.n > JOIN_TAIL ? text.n - JOIN_TAIL : 0);
    j->last = text.n > least ? text.n - least : 0;
    j->from = j->lead;
    if (j->step == JOIN_OWED && j->sent == text.n)
        j->step = JOIN_MARGIN;
}

static void fail(struct llm_join *j, const char *why)
{
    j->step = JOIN_BROKEN;
    j->why = why;
}

/* How many bytes at the end of `s` are the beginning of a character. */
static size_t open_bytes(struct slice s)
{
    for (size_t n = 1; n <= 3 && n <= s.n; n++) {
        unsigned char c = (unsigned char)s.p[s.n - n];
        if (c >= 0xC0)
            return (c >= 0xF0 ? 4u : c >= 0xE0 ? 3u : 2u) > n ? n : 0;
        if (c < 0x80)
            return 0;
    }
    return 0;
}

/* To the client, but for the beginning of a character at the end. */
static void pass(struct llm_join *j, struct slice s, struct buf *out)
{
    char seam[sizeof j->broken + 3];
    while (j->broken_n > 0 && s.n > 0) { /* the character that was open, byte by byte */
        memcpy(seam, j->broken, j->broken_n);
        seam[j->broken_n] = s.p[0];
        size_t n = j->broken_n + 1u, open = open_bytes(slice_of(seam, n));
        s = slice_from(s, 1);
        buf_append(out, seam, n - open);
        memcpy(j->broken, seam + n - open, open);
        j->broken_n = (unsigned char)open;
    }
    size_t open = open_bytes(s);
    buf_slice(out, slice_of(s.p, s.n - open));
    if (open > 0)
        memcpy(j->broken, s.p + s.n - open, open);
    j->broken_n = (unsigned char)(j->broken_n + open);
}

/* The place where `j->matched` bytes agree with those at `j->from` begins at `p`, too. */
static bool agrees(const struct llm_join *j, size_t p)
{
    return p + j->matched <= j->text.n &&
           memcmp(j->text.p + p, j->text.p + j->from, j->matched) == 0;
}

/* A piece of the text's end that is long enough was repeated, though a longer one agreed as well.
 */
static bool has_repeated(const struct llm_join *j)
{
    for (size_t p = MAX_OF(j->tail, j->text.n - MIN_OF(j->matched, j->text.n)); p <= j->last; p++) {
        if (memcmp(j->text.p + p, j->text.p + j->from, j->text.n - p) == 0)
            return true;
    }
    return false;
}

/* The next place that agrees with all so far and then says `c`. */
static bool find_next(struct llm_join *j, char c)
{
    size_t p = j->from == j->lead ? j->tail : j->from + 1;
    for (; p <= j->last; p++) {
        if (p + j->matched < j->text.n && j->text.p[p + j->matched] == c && agrees(j, p)) {
            j->from = p;
            return true;
        }
    }
    return false;
}

/* What was taken for repetition is the continuation's own text. */
static void pass_matched(struct llm_join *j, struct buf *out)
{
    pass(j, slice_of(j->space, j->space_n), out);
    pass(j, slice_of(j->text.p + j->from, j->matched), out);
}

static void match(struct llm_join *j, char c, struct buf *out)
{
    bool asked = j->how == LLM_CONTINUE_INSTRUCTION;
    bool more = j->text.p[j->from + j->matched] == c;
    if (!more && !asked && has_repeated(j)) {
        fail(j, "repeats");
        return;
    }
    if (!more && !find_next(j, c)) {
        if (asked) {
            fail(j, "no_anchor");
            return;
        }
        pass_matched(j, out);
        pass(j, slice_of(&c, 1), out);
        j->step = JOIN_JOINED;
        return;
    }
    j->matched++;
    if (asked && j->from + j->matched == j->text.n)
        j->step = JOIN_JOINED;
    else if (!asked && j->from == j->lead && j->matched >= MIN_OF(j->sent - j->lead, JOIN_SURE))
        fail(j, "restarts");
    else if (!asked && j->from + j->matched == j->text.n)
        fail(j, "repeats");
}

static void take(struct llm_join *j, char c, struct buf *out);

/* An answer that may repeat all that was sent. What departs from it soon is no repetition. */
static void echo(struct llm_join *j, char c, struct buf *out)
{
    size_t same = j->matched;
    if (j->text.p[same] == c) {
        if (++j->matched < j->text.n)
            return;
        if (j->sent - j->lead < JOIN_SURE)
            fail(j, "restarts"); /* so little may as well be the text's own */
        else
            j->step = JOIN_JOINED;
        return;
    }
    if (same >= MIN_OF(j->sent, JOIN_SURE)) {
        fail(j, same >= j->sent ? "white_space" : "restarts");
        return;
    }
    j->matched = 0;
    j->step = j->sent < j->text.n ? JOIN_OWED : JOIN_MARGIN;
    for (size_t i = 0; i < same; i++)
        take(j, j->text.p[i], out);
    take(j, c, out);
}

static void margin(struct llm_join *j, char c, struct buf *out)
{
    bool asked = j->how == LLM_CONTINUE_INSTRUCTION;
    bool space = space_at(slice_of(&c, 1)) > 0;
    if (space && (asked || j->space_n < JOIN_SPACE_MAX)) {
        if (!asked)
            j->space[j->space_n++] = c;
        return;
    }
    j->step = JOIN_MATCH;
    match(j, c, out);
}

/* One byte of the continuation. */
static void take(struct llm_join *j, char c, struct buf *out)
{
    switch (j->step) {
    case JOIN_ECHO: echo(j, c, out); break;
    case JOIN_OWED:
        if (j->text.p[j->sent + j->matched_owed] != c)
            fail(j, "white_space");
        else if (++j->matched_owed == j->text.n - j->sent)
            j->step = JOIN_MARGIN;
        break;
    case JOIN_MARGIN: margin(j, c, out); break;
    case JOIN_MATCH: match(j, c, out); break;
    case JOIN_JOINED: pass(j, slice_of(&c, 1), out); break;
    case JOIN_BROKEN: break;
    }
}

static enum llm_join_result result(const struct llm_join *j)
{
    return j->step == JOIN_JOINED ? JOIN_PASS : j->step == JOIN_BROKEN ? JOIN_FAILED : JOIN_HOLD;
}

enum llm_join_result llm_join_feed(struct llm_join *j, struct slice piece, struct buf *out)
{
    size_t i = 0;
    j->any |= piece.n > 0;
    for (; i < piece.n && j->step < JOIN_JOINED; i++)
        take(j, piece.p[i], out);
    if (j->step == JOIN_JOINED)
        pass(j, slice_from(piece, i), out);
    return result(j);
}

enum llm_join_result llm_join_end(struct llm_join *j, struct buf *out)
{
    bool asked = j->how == LLM_CONTINUE_INSTRUCTION;
    if (j->step == JOIN_ECHO && j->any) { /* too short to be the whole of what was sent */
        size_t same = j->matched;
        j->matched = 0;
        j->step = j->sent < j->text.n ? JOIN_OWED : JOIN_MARGIN;
        for (size_t i = 0; i < same; i++)
            take(j, j->text.p[i], out);
    }
    if (j->step < JOIN_JOINED && !j->any)
        fail(j, "empty");
    else if (j->step == JOIN_OWED)
        fail(j, "white_space");
    else if (j->step < JOIN_JOINED && asked)
        fail(j, "no_anchor");
    else if (j->step == JOIN_MATCH && has_repeated(j))
        fail(j, "repeats");
    if (j->step < JOIN_JOINED) {
        pass_matched(j, out);
        j->step = JOIN_JOINED;
    }
    if (j->step == JOIN_JOINED)
        buf_append(out, j->broken, j->broken_n); /* not UTF-8 to begin with */
    j->broken_n = 0;
    return result(j);
}
