/* The engine of the job path: launches, watches, reads and reaps processes without Python.
 *
 * A batch of rows (one template, many instances) goes into a queue. Worker threads take rows from it; each worker
 * owns an epoll set, its slots (live processes), their pidfds and log pipes. What happened comes back as columns:
 * `struct orch_event` in one array that the caller swaps out. One mutex guards the queue, the id map and the events;
 * it is held for copies and look-ups only, never across a system call that can block.
 *
 * Life of a row: QUEUED -> (sandbox, pipes, vfork) -> STARTED -> EXITED, or NOT_STARTED with a stage and errno, or
 * CANCELLED when it is killed before its turn. An exit is appended to the exit journal before it is an event.
 *
 * Short jobs never touch epoll for their pipes: those are registered only once a process is LAZY_MS old. A process
 * is reaped through its pidfd; its process group is killed first, while the zombie still holds the number.
 */
#ifndef ORCH_ENGINE_H
#define ORCH_ENGINE_H
#include "_child.h"
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#define LAZY_MS 10
#define FULL_MS 200
#define EVENTS_PER_POLL 64
#define LAUNCHES_PER_TURN 2   /* between two looks at what has exited: exits free memory and descriptors */
#define READ_CHUNK 65536
#define DRAIN_LIMIT (1 << 20) /* bytes read from one pipe after its process has gone: a pipe holds no more */
#define SHARD_ROWS 1000       /* instances per folder */
#define WORKERS_MAX 16
#define ENV_TEXT (ORCH_PATH_MAX + 64)
#define EVENT_MAGIC 0x3158524fu /* "ORX1" */

enum orch_what { EV_STARTED = 1, EV_EXITED = 2, EV_NOT_STARTED = 3, EV_CANCELLED = 4 };

struct orch_event { /* also a record of the exit journal, as it lies in memory: 56 bytes, little endian */
    int64_t id, started_ms, at_ms; /* wall clock */
    int32_t attempt, pid;
    uint32_t user;       /* the template's `user` number: which agent asked */
    uint32_t cpu_ms;
    uint32_t lost_bytes; /* output that could not be written, capped */
    int16_t code;        /* 0..255, -signal; the errno with NOT_STARTED */
    uint8_t what, stage;
    uint32_t magic, crc; /* of the bytes before */
};
_Static_assert(sizeof(struct orch_event) == 56, "the exit journal's record has a fixed length");

struct orch_template {
    char **argv, **env;
    size_t *env_key; /* length of the name in each env entry, '=' included */
    int env_len;
    char *path, *sandbox_root, *log_root;
    char *name; /* an instance is called `<name>.<index>` */
    int64_t uid, gid;
    int ngroups, nlimits, ncgroups, mask;
    gid_t groups[ORCH_MAX_GROUPS];
    struct orch_rlimit limits[ORCH_MAX_RLIMITS];
    int cgroup_fds[ORCH_MAX_CGROUPS];
    int64_t log_max_bytes; /* per stream and file; one older file is kept */
    int64_t mem_limit_kib; /* 0 for none; kept here for whoever watches */
    uint32_t user;
    int refs;
};

struct orch_batch {
    struct orch_batch *next;
    struct orch_template *t;
    int64_t n, at, left;
    int64_t *ids, *index, *env_off;
    int32_t *attempts;
    uint8_t *cancelled;
    char *blob;
};

struct orch_slot {
    int64_t id, index, started_ms, started_mono;
    int32_t attempt;
    pid_t pid;
    int pidfd, pipe[2], log[2], registered[2];
    int64_t log_bytes[2], log_base[2]; /* in the current file; in those before it */
    uint32_t lost;
    int pending_signal, live;
    uint32_t generation;
    struct orch_template *t;
};

struct orch_fresh { int slot; uint32_t generation; int64_t mono; };

struct orch_entry { /* where a row is: in a batch that waits (worker -1), or in a worker's slot */
    int64_t id, at;
    struct orch_batch *batch;
    int32_t attempt;
    int16_t worker, used;
};

struct orch_worker {
    struct orch_engine *e;
    pthread_t thread;
    int number, epoll;
    struct orch_slot **slots; /* pointers: a slot does not move while a launch is in progress */
    int cap, *free_slots, nfree;
    int live, full; /* slots in use; full: not told of waiting rows until one ends */
    struct orch_fresh *fresh; /* ring of launches whose pipes wait */
    int fresh_at, fresh_n, fresh_cap;
    struct orch_event *out; /* events of this turn */
    int nout, out_cap;
    char **envp;
    int envp_cap;
    char buf[READ_CHUNK];
    char path[ORCH_PATH_MAX], env[7][ENV_TEXT];
};

struct orch_engine {
    pthread_mutex_t lock;
    int nworkers, stopping, journal, wake, notify, null, notified;
    int worker_max; /* processes of one worker at a time: each holds up to five descriptors */
    pid_t pid;
    struct orch_worker *workers;
    struct orch_batch *head, *tail;
    int64_t queued;
    struct orch_event *events;
    int64_t nevents, events_cap, nended; /* nended: of those not taken yet, the ones that are ends */
    struct orch_entry *map;
    int64_t map_cap, map_n;
};

static int64_t orch_clock_ms(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t orch_crc(const void *data, size_t n) {
    uint32_t c = ~0u;
    const uint8_t *p = data;
    static const uint32_t nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    while (n--) {
        c ^= *p++;
        c = nibble[c & 15] ^ (c >> 4);
        c = nibble[c & 15] ^ (c >> 4);
    }
    return ~c;
}

/* ---- the id map: (id, attempt) -> (worker, slot); open addressing, backward-shift deletion; under the lock ---- */

static int64_t orch_map_home(const struct orch_engine *e, int64_t id, int32_t attempt) {
    uint64_t h = ((uint64_t)id * 0x9E3779B97F4A7C15ull) ^ ((uint64_t)(uint32_t)attempt * 0xC2B2AE3D27D4EB4Full);
    return (int64_t)((h >> 20) & (uint64_t)(e->map_cap - 1));
}

static struct orch_entry *orch_map_find(struct orch_engine *e, int64_t id, int32_t attempt) {
    for (int64_t i = orch_map_home(e, id, attempt);; i = (i + 1) & (e->map_cap - 1)) {
        if (!e->map[i].used) return NULL;
        if (e->map[i].id == id && e->map[i].attempt == attempt) return &e->map[i];
    }
}

static void orch_map_put_raw(struct orch_engine *e, struct orch_entry entry) {
    int64_t i = orch_map_home(e, entry.id, entry.attempt);
    while (e->map[i].used) i = (i + 1) & (e->map_cap - 1);
    e->map[i] = entry;
}

static int orch_map_put(struct orch_engine *e, struct orch_entry entry) {
    if ((e->map_n + 1) * 2 > e->map_cap) {
        struct orch_entry *old = e->map;
        int64_t old_cap = e->map_cap;
        struct orch_entry *grown = calloc((size_t)old_cap * 2, sizeof *grown);
        if (!grown) return -1;
        e->map = grown;
        e->map_cap = old_cap * 2;
        for (int64_t i = 0; i < old_cap; i++) {
            if (old[i].used) orch_map_put_raw(e, old[i]);
        }
        free(old);
    }
    orch_map_put_raw(e, entry);
    e->map_n++;
    return 0;
}

static void orch_map_remove(struct orch_engine *e, int64_t id, int32_t attempt) {
    struct orch_entry *found = orch_map_find(e, id, attempt);
    if (!found) return;
    int64_t mask = e->map_cap - 1, hole = found - e->map;
    for (int64_t i = (hole + 1) & mask; e->map[i].used; i = (i + 1) & mask) {
        int64_t home = orch_map_home(e, e->map[i].id, e->map[i].attempt);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            e->map[hole] = e->map[i];
            hole = i;
        }
    }
    e->map[hole].used = 0;
    e->map_n--;
}

/* ---- templates and batches: counted by reference ---- */

static void orch_template_keep(struct orch_template *t) { __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED); }

static void orch_template_drop(struct orch_template *t) {
    if (__atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL)) return;
    for (char **p = t->argv; p && *p; p++) free(*p); /* may be half built */
    for (char **p = t->env; p && *p; p++) free(*p);
    for (int i = 0; i < t->ncgroups; i++) close(t->cgroup_fds[i]);
    free(t->argv);
    free(t->env);
    free(t->env_key);
    free(t->path);
    free(t->sandbox_root);
    free(t->log_root);
    free(t->name);
    free(t);
}

static void orch_batch_free(struct orch_batch *b) {
    if (!b) return;
    if (b->t) orch_template_drop(b->t);
    free(b->ids);
    free(b->index);
    free(b->env_off);
    free(b->attempts);
    free(b->cancelled);
    free(b->blob);
    free(b);
}

static void *orch_copy(const void *from, size_t bytes) {
    void *to = malloc(bytes ? bytes : 1);
    if (to && bytes) memcpy(to, from, bytes);
    return to;
}

/* Copies the columns. Returns NULL when there is no memory; nothing is queued then. */
static struct orch_batch *orch_batch_new(struct orch_template *t, int64_t n, const int64_t *ids,
                                         const int32_t *attempts, const int64_t *index, const int64_t *env_off,
                                         const char *blob) {
    struct orch_batch *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->n = b->left = n;
    b->ids = orch_copy(ids, (size_t)n * 8);
    b->index = orch_copy(index, (size_t)n * 8);
    b->attempts = orch_copy(attempts, (size_t)n * 4);
    b->cancelled = calloc((size_t)n + 1, 1);
    if (env_off) {
        b->env_off = orch_copy(env_off, (size_t)(n + 1) * 8);
        b->blob = orch_copy(blob, (size_t)env_off[n]);
    }
    if (!b->ids || !b->index || !b->attempts || !b->cancelled || (env_off && (!b->env_off || !b->blob))) {
        orch_batch_free(b);
        return NULL;
    }
    b->t = t;
    return b;
}

#include "_engine_io.h"
#include "_engine_run.h"
#endif
