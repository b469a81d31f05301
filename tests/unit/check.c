/* The unit-test harness: registration, selection, failure and the summary. */
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static struct check_test *tests;
static jmp_buf escape; /* out of the running test, from its own thread */
static pthread_t runner;
static _Atomic bool failed;
static const char *skipped; /* why, or NULL */
static _Thread_local char note[256];
static uint64_t seed = 1, random_state;

/* The sanitizers' allocators then return NULL for absurd sizes, like malloc, and do not abort. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

void check_register(struct check_test *t)
{
    t->next = tests;
    tests = t;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* "file.name" of a test, the file without its ".c". */
static const char *full_name(const struct check_test *t)
{
    static char text[256];
    const char *file = base_name(t->file);
    snprintf(text, sizeof text, "%.*s.%s", (int)strcspn(file, "."), file, t->name);
    return text;
}

void check_fail(struct check_at at, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    printf("%s:%d: %s: %s%s%s%s\n", at.file, at.line, at.text, text, note[0] ? " [" : "", note,
           note[0] ? "]" : "");
    fflush(stdout);
    mem_torture(0);
    failed = true;
    if (!pthread_equal(pthread_self(), runner))
        pthread_exit(NULL);
    longjmp(escape, 1);
}

void check_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(note, sizeof note, fmt, ap);
    va_end(ap);
}

void check_i64(struct check_at at, int64_t got, int64_t want)
{
    if (got != want)
        check_fail(at, "got %" PRId64 ", want %" PRId64, got, want);
}

void check_u64(struct check_at at, uint64_t got, uint64_t want)
{
    if (got != want)
        check_fail(at, "got %" PRIu64 " (0x%" PRIx64 "), want %" PRIu64 " (0x%" PRIx64 ")", got,
                   got, want, want);
}

void check_double(struct check_at at, double got, double want)
{
    if (!(got >= want && got <= want) && !(isnan(got) && isnan(want)))
        check_fail(at, "got %.17g, want %.17g", got, want);
}

/* Up to 160 bytes of `s` from `from` on, printable. */
static const char *shown(struct slice s, size_t from, char out[700])
{
    size_t n = 0;
    s = slice_from(s, from);
    for (size_t i = 0; i < s.n && i < 160; i++) {
        unsigned char c = (unsigned char)s.p[i];
        n += (size_t)snprintf(out + n, 700 - n, c < 32 || c > 126 || c == '\\' ? "\\x%02x" : "%c",
                              c);
    }
    out[n] = '\0';
    return out;
}

void check_slice(struct check_at at, struct slice got, struct slice want)
{
    char a[700], b[700];
    size_t same = 0;
    if (slice_eq(got, want))
        return;
    while (same < got.n && same < want.n && got.p[same] == want.p[same])
        same++;
    size_t from = same > 20 ? same - 20 : 0;
    check_fail(at,
               "%zu and %zu bytes, different from byte %zu on; from byte %zu: got \"%s\", want "
               "\"%s\"",
               got.n, want.n, same, from, shown(got, from, a), shown(want, from, b));
}

void check_str(struct check_at at, const char *got, const char *want)
{
    if (got == NULL || want == NULL) {
        if (got != want)
            check_fail(at, "got %s, want %s", got ? got : "NULL", want ? want : "NULL");
        return;
    }
    check_slice(at, slice_str(got), slice_str(want));
}

void check_aborts(struct check_at at, void (*fn)(void *arg), void *arg)
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(2);
        fn(arg);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        check_fail(at, "no child process");
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        check_fail(at, "went on (wait status %d)", status);
}

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
uint64_t check_random(void)
{
    return hash_mix(random_state += HASH_STEP);
}

uint64_t check_random_below(uint64_t n)
{
    return check_random() % n;
}

static void seed_random(const char *name)
{
    random_state = seed;
    for (; *name != '\0'; name++)
        random_state = (random_state ^ (unsigned char)*name) * 0x100000001b3u;
}

void check_skip(const char *why)
{
    skipped = why;
    longjmp(escape, 1);
}

void check_needs_torture(void)
{
    mem_torture(0);
    mem_free(mem_alloc(1));
    if (mem_torture_count() == 0)
        check_skip("no WEIR_TORTURE");
}

int64_t check_torture(void (*fn)(void *arg), void *arg)
{
    check_needs_torture();
    mem_torture(0);
    fn(arg);
    int64_t made = mem_torture_count();
    for (int64_t nth = 1; nth <= made; nth++) {
        check_note("allocation %" PRId64 " of %" PRId64 " fails", nth, made);
        mem_torture(nth);
        fn(arg);
    }
    mem_torture(0);
    check_note("%s", "");
    return made;
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool run_one(const struct check_test *t, bool verbose)
{
    const char *name = full_name(t);
    double start = seconds();
    failed = false;
    skipped = NULL;
    note[0] = '\0';
    seed_random(name);
    if (setjmp(escape) == 0)
        t->run();
    mem_torture(0);
    if (failed)
        printf("FAILED %s (seed %" PRIu64 ")\n", full_name(t), seed);
    else if (skipped != NULL)
        printf("skip   %s: %s\n", full_name(t), skipped);
    else if (verbose)
        printf("ok     %s (%.0f ms)\n", full_name(t), (seconds() - start) * 1e3);
    fflush(stdout);
    return !failed;
}

static int by_place(const void *a, const void *b)
{
    const struct check_test *x = *(struct check_test *const *)a,
                            *y = *(struct check_test *const *)b;
    int files = strcmp(x->file, y->file);
    return files != 0 ? files : x->line - y->line;
}

static bool wanted(const struct check_test *t, char **filters)
{
    if (*filters == NULL)
        return true;
    for (; *filters != NULL; filters++) {
        if (strstr(full_name(t), *filters) != NULL)
            return true;
    }
    return false;
}

/* All tests in order of file and line, and their number. */
static struct check_test **sorted(size_t *ret_n)
{
    size_t n = 0;
    for (struct check_test *t = tests; t != NULL; t = t->next)
        n++;
    struct check_test **all = mem_must(mem_calloc(n + 1, sizeof *all));
    *ret_n = n;
    for (struct check_test *t = tests; t != NULL; t = t->next)
        all[--n] = t;
    qsort(all, *ret_n, sizeof *all, by_place);
    return all;
}

static NORETURN void usage(void)
{
    fputs("usage: [-v] [-l] [-s SEED] [PART-OF-A-NAME ...]\n"
          "  -v  one line per test    -l  list the tests    -s  seed of the random tests (1)\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    bool verbose = false, list = false;
    size_t n, ran = 0, bad = 0;
    int opt;
    while ((opt = getopt(argc, argv, "vls:")) != -1) {
        if (opt == 'v')
            verbose = true;
        else if (opt == 'l')
            list = true;
        else if (opt != 's' || !slice_to_u64(slice_str(optarg), &seed))
            usage();
    }
    runner = pthread_self();
    struct check_test **all = sorted(&n);
    for (size_t i = 0; i < n; i++) {
        if (!wanted(all[i], argv + optind))
            continue;
        ran++;
        if (list)
            puts(full_name(all[i]));
        else
            bad += !run_one(all[i], verbose);
    }
    mem_free(all);
    printf("%s: %zu of %zu tests, %zu failed\n", base_name(argv[0]), ran, n, bad);
    return bad > 0 || ran == 0;
}
