/* Watches the folder, since editors and Kubernetes replace files rather than write them, and
 * compares the file's identity and times once things are quiet. */
#include "watch.h"

#include <libgen.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"

#define QUIET_NS (200 * NS_PER_MS)

struct watch {
    uv_fs_event_t event;
    struct net_loop *loop;
    struct timer quiet;
    char *path;
    struct stat seen;
    void (*changed)(void *ctx);
    void *ctx;
};

static bool look(struct watch *w)
{
    struct stat st;
    if (stat(w->path, &st) != 0)
        return false; /* it will be back */
    bool same = st.st_ino == w->seen.st_ino && st.st_dev == w->seen.st_dev &&
                st.st_size == w->seen.st_size && st.st_mtim.tv_sec == w->seen.st_mtim.tv_sec &&
                st.st_mtim.tv_nsec == w->seen.st_mtim.tv_nsec;
    w->seen = st;
    return !same;
}

static void on_quiet(struct timer *t)
{
    struct watch *w = container_of(t, struct watch, quiet);
    if (look(w))
        w->changed(w->ctx);
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct watch *w = h->data;
    (void)name, (void)events;
    if (status == 0)
        (void)!net_timer_set(w->loop, &w->quiet, net_now(w->loop) + QUIET_NS);
}

struct watch *watch_new(struct net_loop *loop, const char *path, void (*changed)(void *ctx),
                        void *ctx)
{
    struct watch *w = mem_calloc(1, sizeof *w);
    char *copy = mem_strndup(path, strlen(path)), *folder = mem_strndup(path, strlen(path));
    if (w == NULL || copy == NULL || folder == NULL) {
        mem_free(w);
        mem_free(copy);
        mem_free(folder);
        return NULL;
    }
    *w = (struct watch){.loop = loop, .path = copy, .changed = changed, .ctx = ctx};
    timer_init(&w->quiet, on_quiet);
    look(w);
    uv_fs_event_init(&loop->uv, &w->event);
    w->event.data = w;
    uv_fs_event_start(&w->event, on_event, dirname(folder), 0);
    mem_free(folder);
    return w;
}

static void on_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    mem_free(w->path);
    mem_free(w);
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    net_timer_stop(w->loop, &w->quiet);
    uv_close((uv_handle_t *)&w->event, on_closed);
}
