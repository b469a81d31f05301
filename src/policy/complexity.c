/* How hard a request looks: signs are counted in what the text asks, not in what is pasted below
 * or above it, and added up with fixed weights (a logistic regression). */
#include "policy/complexity.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define TEXT_MAX   16384
#define PART_MAX   400 /* bytes of a first or last paragraph; what is longer is pasted */
#define WORD_BYTES 32
#define WORDS_MAX  768

/* Each sign: its weight, and the count from which on more of it says no more. The weights were
 * fitted on the training half of tests/policy/prompts.tsv; docs/routing.md says how. */
#define COMPLEXITY_SIGNS(X)                                                                        \
    X(HARD, 1.39, 3)        /* tasks: prove, design, derive, debug */                              \
    X(WEIGH, 0.61, 3)       /* to weigh: compare, assess, risk */                                  \
    X(WHY, 0.31, 2)         /* why, how, explain */                                                \
    X(TECH, 0.54, 4)        /* of a trade: deadlock, theorem, liability */                         \
    X(BOUND, 0.14, 4)       /* conditions: must, without, at least */                              \
    X(EASY, (-0.97), 3)     /* tasks: translate, list, count, extract */                           \
    X(ASK, (-0.29), 2)      /* what, which: a fact */                                              \
    X(GREETING, (-3.00), 1) /* hello, thanks: in under eight words */                              \
    X(QUESTIONS, 1.00, 2)   /* question marks after the first */                                   \
    X(MATHS, 0.20, 6)       /* ^ = + and the like */                                               \
    X(QUOTES, (-1.00), 2)   /* quotation marks: to be worked on */                                 \
    X(PASTED, (-0.39), 1)   /* over 100 bytes are not the ask */                                   \
    X(LONG_WORDS, 0.54, 4)  /* mean letters of a word above three */

enum sign {
#define X(name, weight, most) SIGN_##name,
    COMPLEXITY_SIGNS(X)
#undef X
        SIGNS_N,
};

static const struct {
    double weight, most;
} signs[SIGNS_N] = {
#define X(name, weight, most) {weight, most},
    COMPLEXITY_SIGNS(X)
#undef X
};

#define BIAS (-0.57)

#define NOTHING        (-3.0) /* no word at all; by hand */
#define LETTERS_SHORT  3.0
#define LETTERS_USUAL  1.4 /* the mean of that sign: texts of few words are drawn to it */
#define WORDS_FEW      6
#define CJK_PER_WORD   1.7
#define GREETING_WORDS 8

/* What the caller knows beside the text. Set by hand: the labelled prompts are text alone. */
#define FACT_MESSAGES  0.15 /* for each doubling: a long conversation has a history to mind */
#define FACT_HISTORY   0.10 /* for each doubling of the prompt's bytes above 8 KB */
#define FACT_TOOLS     0.50 /* tools are offered: which, and with what arguments? */
#define FACT_TOOL      0.05 /* for each of them, up to 16 */
#define FACT_IMAGES    0.40
#define FACT_SCHEMA    (-0.30) /* mostly extraction and classification */
#define FACT_REASONING 1.50

/* The words of a sign, as beginnings; with a '$', the whole word. Lower case; Chinese and Japanese
 * ones stand anywhere in the text. No beginning of a word covers another one. */
static const char *const word_lists[SIGNS_N] = {
    [SIGN_HARD] =
        "prove proving proof disprove derive deriving derivation design architect optimi "
        "strateg implement refactor debug diagnos plan$ planning devise invent migrat "
        "redesign rework redo scale forecast estimate negotiat draft$ compose investigat "
        "troubleshoot determine evaluate generali show$ maximi minimi build$ develop schedul "
        "solve$ bug$ bugs$ repair wrong$ invariant simulat review critique beweis entwirf "
        "entwerf entwickl analysier begründ plane$ verallgemeiner leite$ untersuch konzipier "
        "démontr prouve$ prouver conçoi concevoir élabor justifi analyse analyz demuestr "
        "demostr diseñ analiza desarroll planific deduc dimostra progetta sviluppa prova$ "
        "demonstr projete desenvolv elabor докаж доказ спроектир проанализ разработ оптимиз "
        "zaprojekt udowodn uzasadn przeanaliz tasarla kanıtla hazırla açıkla ontwerp bewijs "
        "证明 设计 分析 优化 推导 論証 証明 設計 最適 提案 提出 论证 实现 制定 诊断 규명 "
        "증명 설계 분석",
    [SIGN_WEIGH] =
        "contrast versus$ vs$ assess weigh tradeoff trade$ argu justify advantages$ drawback "
        "pros$ cons$ alternativ assum consequen implication risk critic interpret evidence "
        "conclude conclusion objection tension reconcil incentiv sensitivity uncertain "
        "vergleich bewert beurteil abwäg vorteile nachteile folgen$ compar évalu discut "
        "confront valut сравн оцен vergelijk beoordeel porównaj oceń karşılaştır değerlendir "
        "比较 評価 评价 评估 比較 影响 影響 优缺点 对比 建议 better$ best$ worse$ worst$ "
        "option should$",
    [SIGN_WHY] = "why$ how$ explain explanation warum weshalb wieso wie$ erklär pourquoi comment$ "
                 "expliqu perché explica explícame почему объясн waarom hoe$ dlaczego neden$ niçin "
                 "为什么 怎样 如何 怎么 なぜ 理由 説明 解释 왜 cause qué$ quê$",
    [SIGN_EASY] =
        "translat extract list$ count$ convert format$ rewrite rename replace sort$ summar "
        "tl$ shorten classify label$ sentiment headline title caption spell typo grammar "
        "correct$ round$ capital$ mean$ means$ stand$ joke haiku name$ names$ copy$ pull$ "
        "tag$ uppercase lowercase case$ english german french spanish italian japanese "
        "portuguese polite sentence word$ words$ phone date$ dates$ number$ print$ add$ "
        "remove$ poem recipe greeting birthday slogan suggest give$ yes$ briefly short$ "
        "language übersetz fasse$ zusammen nenne korrigier schreib heißt wieviel kurz "
        "englisch tradui résum liste$ donne$ anglais extrai traduc traduz resum cómo$ corrig "
        "escribe lista$ inglés saludo scrivi come$ escreva inglês как$ перевед напиши "
        "vertaal engels jak$ przetłumacz ingilizce çevir 翻译 总结 翻訳 要約 英语 英語 天气 "
        "写一 列出 提取 一句话 何と 번역",
    [SIGN_BOUND] =
        "must without$ such$ subject$ at$ least$ most$ exactly never$ only$ cannot unless$ "
        "given$ suppose if$ while$ constraint limit under$ within$ guarantee avoid$ keep$ "
        "although though$ however because$ despite except both$ each$ every$ neither nobody "
        "ohne muss müssen sodass obwohl wenn$ höchstens mindestens damit$ trotz jede sans$ "
        "doit$ dois$ sachant même$ chaque alors$ sin$ debe$ debo$ aunque cada$ senza$ deve$ "
        "anche$ sem$ quando$ sempre если без$ чтобы kazd zonder$ bez$ ve$ 必须 防止 不能 "
        "如果 任意 并 之后 却",
    [SIGN_TECH] =
        "algorithm deadlock race$ races latency concurren lock$ locks lockless mutex thread "
        "atomic memory distribut consisten protocol schema theorem lemma probabilit expected "
        "integra converg continuous graph$ graphs polynomial matrix complexity asymptot "
        "compil kernel cache caching transaction isolation throughput bottleneck outage leak "
        "crash scalab shard replica cluster kafka kubernetes microservice server database "
        "index$ indexes liabil clause lawful gdpr indemnit jurisdict tax$ elasticit hedg "
        "portfolio valuation margin inflation productivity regression causal bias hypothes "
        "significan sample$ experiment confound prior$ bayes differential dose interact "
        "pathophysiolog infinite irrational finite integer prime$ primes function$ functions "
        "derivative equation inequal series sequence induction philosoph economic policy "
        "policies budget architektur datenbank gleichung wahrscheinlich système base$ "
        "arquitectura sistema datos algoritm algorytm suite$ систем алгоритм 系统 数据库 "
        "线程 算法 架构 システム 分散 政策 定理",
    [SIGN_ASK] =
        "what$ which$ whose$ when$ who$ where$ many$ much$ wer$ wann$ wo$ viel$ viele$ quel$ "
        "quelle$ combien où$ cuál$ cuánt dónde quién$ quanto$ quanti$ qual$ сколько hoeveel "
        "ile$ nedir 多少 哪 几 何ですか welche was$ quels quelles cuáles$ quem$ chi$ что$ "
        "который kto$ hangi",
    [SIGN_GREETING] =
        "hello$ hi$ hey$ morning$ thanks thank$ ok$ okay$ bye$ hallo$ danke$ tschüss "
        "bonjour$ salut$ merci$ hola$ gracias ciao$ grazie$ olá$ obrigad привет$ спасибо$ "
        "cześć merhaba teşekkür 你好 谢谢 こんにちは ありがとう 안녕",
};

struct word {
    const char *p;
    unsigned char n;
    bool whole;
    unsigned char sign;
};

/* All words, sorted, and where those with the same first byte begin. */
static struct {
    pthread_once_t once;
    unsigned n;
    struct word all[WORDS_MAX];
    unsigned short from[257];
} words = {.once = PTHREAD_ONCE_INIT};

static int word_order(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    int d = memcmp(x->p, y->p, (size_t)MIN_OF(x->n, y->n));
    return d != 0 ? d : (int)x->n - (int)y->n;
}

static void words_add(struct slice list, unsigned sign)
{
    while (list.n > 0) {
        struct slice w = slice_cut(&list, ' ');
        bool whole = w.n > 0 && w.p[w.n - 1] == '$';
        ASSERT(words.n < WORDS_MAX && w.n > whole && w.n <= WORD_BYTES);
        words.all[words.n++] =
            (struct word){w.p, (unsigned char)(w.n - whole), whole, (unsigned char)sign};
    }
}

static void words_sort(void)
{
    for (unsigned i = 0; i < SIGNS_N; i++)
        words_add(slice_str(word_lists[i]), i);
    qsort(words.all, words.n, sizeof words.all[0], word_order);
    for (unsigned i = 1; i < words.n; i++) { /* find_word looks at one candidate only */
        const struct word *a = &words.all[i - 1], *b = &words.all[i];
        ASSERT(a->whole ? word_order(a, b) != 0 : a->n > b->n || memcmp(a->p, b->p, a->n) != 0);
    }
    unsigned at = 0;
    for (unsigned c = 0; c < 256; c++) {
        words.from[c] = (unsigned short)at;
        while (at < words.n && (unsigned char)words.all[at].p[0] == c)
            at++;
    }
    words.from[256] = (unsigned short)at;
}

/* The sign of the word at the beginning of `w`, or -1. `apart`: `w` is one word alone. */
static int find_word(struct slice w, bool apart)
{
    struct word key = {w.p, (unsigned char)MIN_OF(w.n, (size_t)WORD_BYTES), false, 0};
    unsigned char first = (unsigned char)w.p[0];
    unsigned low = words.from[first], high = words.from[first + 1];
    const unsigned begin = low;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (word_order(&words.all[mid], &key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == begin)
        return -1;
    const struct word *found = &words.all[low - 1];
    bool match = found->n <= key.n && memcmp(found->p, key.p, found->n) == 0;
    return match && (!found->whole || (apart && found->n == key.n)) ? found->sign : -1;
}

/* One code point, at least one byte; broken UTF-8 is taken byte by byte. */
static unsigned decode(struct slice s, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned n = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n > s.n)
        n = 1;
    *ret = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++)
        *ret = *ret << 6 | (p[i] & 0x3fu);
    return n;
}

static bool is_cjk(uint32_t c)
{
    return (c >= 0x3041 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff);
}

static bool is_letter(uint32_t c)
{
    return (c | 32) - 'a' < 26 || (c >= 0xc0 && c < 0x2000 && c != 0xd7 && c != 0xf7) ||
           (c >= 0xac00 && c <= 0xd7a3);
}

/* Latin and Cyrillic capitals; both cases have the same number of bytes here. */
static uint32_t lower(uint32_t c)
{
    bool latin = (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
    if (latin || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    return c;
}

/* What is being counted. */
struct count {
    double sign[SIGNS_N];
    char word[WORD_BYTES]; /* the one that is being read, in lower case */
    unsigned word_n;
    double words, letters, cjk;
};

static void end_word(struct count *c)
{
    if (c->word_n == 0)
        return;
    int sign = find_word(slice_of(c->word, c->word_n), true);
    if (sign >= 0)
        c->sign[sign]++;
    c->word_n = 0;
    c->words++;
}

static void add_letter(struct count *c, uint32_t letter, struct slice bytes)
{
    letter = lower(letter);
    c->letters++;
    if (c->word_n + bytes.n > WORD_BYTES)
        return;
    memcpy(c->word + c->word_n, bytes.p, bytes.n);
    if (bytes.n == 1) {
        c->word[c->word_n] = (char)letter;
    } else if (bytes.n == 2) {
        c->word[c->word_n] = (char)(0xc0 | letter >> 6);
        c->word[c->word_n + 1] = (char)(0x80 | (letter & 0x3f));
    }
    c->word_n += (unsigned)bytes.n;
}

static void add_mark(struct count *c, uint32_t mark)
{
    if (mark == '?' || mark == 0xff1f || mark == 0x61f)
        c->sign[SIGN_QUESTIONS]++;
    if (mark == '^' || mark == '=' || mark == '+' || mark == '/' || mark == '*' || mark == '<' ||
        mark == '>' || mark == 0xb2 || mark == 0xb3 || (mark >= 0x2200 && mark <= 0x22ff))
        c->sign[SIGN_MATHS]++;
    if (mark == '"' || (mark >= 0x201c && mark <= 0x201e) || mark == 0xab || mark == 0x300c)
        c->sign[SIGN_QUOTES]++;
}

static void count_ask(struct count *c, struct slice s)
{
    while (s.n > 0) {
        uint32_t now;
        unsigned n = decode(s, &now);
        if (is_letter(now)) {
            add_letter(c, now, slice_of(s.p, n));
        } else {
            end_word(c);
            int sign = is_cjk(now) ? find_word(s, false) : -1;
            if (sign >= 0)
                c->sign[sign]++;
            if (is_cjk(now))
                c->cjk++;
            add_mark(c, now);
        }
        s = slice_from(s, n);
    }
    end_word(c);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.n > 0 && is_space(s.p[0]))
        s = slice_from(s, 1);
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Does a paragraph end there, at an empty line or a fence of code? */
static bool break_at(struct slice s, size_t i)
{
    return (i + 2 <= s.n && memcmp(s.p + i, "\n\n", 2) == 0) ||
           (i + 3 <= s.n && memcmp(s.p + i, "```", 3) == 0);
}

static bool ends_in_break(struct slice s)
{
    return (s.n >= 2 && memcmp(s.p + s.n - 2, "\n\n", 2) == 0) ||
           (s.n >= 3 && memcmp(s.p + s.n - 3, "```", 3) == 0);
}

/* Long, or something else than prose: it is there to be worked on. */
static bool is_pasted(struct slice s)
{
    return s.n == 0 || s.n > PART_MAX || s.p[0] == '{' || s.p[0] == '[' || s.p[0] == '<';
}

static struct slice first_line(struct slice s)
{
    struct slice line = trim(slice_cut(&s, '\n'));
    return line.n < PART_MAX ? line : slice_of(line.p, PART_MAX);
}

/* From byte `past` on. */
static struct slice last_line(struct slice s, size_t past)
{
    size_t from = s.n;
    while (from > past && s.p[from - 1] != '\n')
        from--;
    size_t clip = s.n > PART_MAX ? s.n - PART_MAX : 0;
    return slice_from(s, MAX_OF(from, clip));
}

/* What is asked stands at the beginning or at the end, or at both. */
static void find_ask(struct slice text, struct slice *ret_head, struct slice *ret_tail)
{
    size_t head = 0, tail = text.n;
    while (head < text.n && head <= PART_MAX && !break_at(text, head))
        head++;
    while (tail > head && text.n - tail <= PART_MAX && !ends_in_break(slice_of(text.p, tail)))
        tail--;
    *ret_head = trim(slice_of(text.p, head));
    *ret_tail = head < text.n ? trim(slice_from(text, tail)) : SLICE_NONE;
    bool pasted_head = is_pasted(*ret_head), pasted_tail = is_pasted(*ret_tail);
    if (pasted_head && pasted_tail) {
        *ret_head = text.n > PART_MAX ? first_line(text) : text;
        *ret_tail = last_line(text, ret_head->n);
    } else if (pasted_head) {
        *ret_head = SLICE_NONE;
    } else if (pasted_tail) {
        *ret_tail = SLICE_NONE;
    }
}

static void count_signs(struct slice text, struct count *c)
{
    pthread_once(&words.once, words_sort);
    *c = (struct count){.words = 0};
    text = trim(slice_of(text.p, MIN_OF(text.n, (size_t)TEXT_MAX)));
    struct slice head, tail;
    find_ask(text, &head, &tail);
    count_ask(c, head);
    count_ask(c, tail);
    double pasted = (double)text.n - (double)(head.n + tail.n);
    c->sign[SIGN_PASTED] = pasted > 100;
    double longer = c->letters - LETTERS_SHORT * c->words; /* few words: near the usual */
    c->sign[SIGN_LONG_WORDS] =
        fmax(0, (longer + LETTERS_USUAL * WORDS_FEW) / (c->words + WORDS_FEW));
    c->sign[SIGN_QUESTIONS] = fmax(0, c->sign[SIGN_QUESTIONS] - 1);
    if (c->words + c->cjk / CJK_PER_WORD >= GREETING_WORDS)
        c->sign[SIGN_GREETING] = 0;
    for (unsigned i = 0; i < SIGNS_N; i++)
        c->sign[i] = MIN_OF(c->sign[i], signs[i].most);
}

static double of_facts(const struct complexity_facts *f)
{
    double sum = f->messages > 1 ? FACT_MESSAGES * log2((double)f->messages) : 0;
    if (f->prompt_bytes > 8192)
        sum += FACT_HISTORY * log2((double)f->prompt_bytes / 8192);
    if (f->tools > 0)
        sum += FACT_TOOLS + FACT_TOOL * (double)MIN_OF(f->tools, 16u);
    sum += f->images > 0 ? FACT_IMAGES : 0;
    sum += f->schema ? FACT_SCHEMA : 0;
    return sum + (f->reasoning ? FACT_REASONING : 0);
}

double complexity_score(struct slice text, const struct complexity_facts *facts)
{
    struct count c;
    count_signs(text, &c);
    double sum = BIAS + of_facts(facts);
    if (c.words + c.cjk == 0)
        sum += NOTHING;
    for (unsigned i = 0; i < SIGNS_N; i++)
        sum += signs[i].weight * c.sign[i];
    return 100 / (1 + exp(-sum));
}
