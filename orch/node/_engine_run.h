/* The workers' loop, and the calls of the owner's thread. Included by _engine.h. */

#define WAKE_DATA UINT64_MAX

static void orch_emit(struct orch_worker *w, struct orch_event ev) {
    if (w->nout == w->out_cap) {
        int cap = w->out_cap ? w->out_cap * 2 : 256;
        struct orch_event *grown = realloc(w->out, (size_t)cap * sizeof *grown);
        if (!grown) abort(); /* an exit that is not told would be a lie for ever; the journal has all earlier ones */
        w->out = grown;
        w->out_cap = cap;
    }
    ev.magic = EVENT_MAGIC;
    ev.crc = 0;
    if (ev.what != EV_STARTED) ev.crc = orch_crc(&ev, offsetof(struct orch_event, crc));
    w->out[w->nout++] = ev;
}

/* Under the lock. */
static void orch_publish(struct orch_engine *e, const struct orch_event *events, int n) {
    if (e->nevents + n > e->events_cap) {
        int64_t cap = (e->nevents + n) * 2;
        struct orch_event *grown = realloc(e->events, (size_t)cap * sizeof *grown);
        if (!grown) abort();
        e->events = grown;
        e->events_cap = cap;
    }
    memcpy(e->events + e->nevents, events, (size_t)n * sizeof *events);
    e->nevents += n;
    for (int i = 0; i < n; i++) e->nended += events[i].what != EV_STARTED;
    if (!e->notified) {
        uint64_t one = 1;
        e->notified = 1;
        if (write(e->notify, &one, 8) != 8) e->notified = 0;
    }
}

/* Exits go to the journal first, in one write a turn; then all events become visible. */
static void orch_flush(struct orch_worker *w) {
    struct orch_engine *e = w->e;
    if (!w->nout) return;
    int kept = 0;
    struct orch_event *ends = malloc((size_t)w->nout * sizeof *ends);
    if (!ends) abort();
    for (int i = 0; i < w->nout; i++) {
        if (w->out[i].what != EV_STARTED) ends[kept++] = w->out[i];
    }
    const char *p = (const char *)ends;
    for (size_t left = (size_t)kept * sizeof *ends; left && e->journal >= 0;) {
        ssize_t n = write(e->journal, p, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break; /* a full disk: the event is still told, and a LOST after a crash is the truth then */
        p += n;
        left -= (size_t)n;
    }
    free(ends);
    pthread_mutex_lock(&e->lock);
    orch_publish(e, w->out, w->nout);
    pthread_mutex_unlock(&e->lock);
    w->nout = 0;
}

/* Under the lock. A free slot's number, or -1 without memory. */
static int orch_slot_new(struct orch_worker *w) {
    if (!w->nfree) {
        int cap = w->cap ? w->cap * 2 : 64;
        struct orch_slot **slots = realloc(w->slots, (size_t)cap * sizeof *slots);
        if (!slots) return -1;
        w->slots = slots;
        int *free_slots = realloc(w->free_slots, (size_t)cap * sizeof *free_slots);
        if (!free_slots) return -1;
        w->free_slots = free_slots;
        struct orch_slot *block = calloc((size_t)(cap - w->cap), sizeof *block);
        if (!block) return -1;
        for (int i = w->cap; i < cap; i++) w->slots[i] = &block[i - w->cap]; /* blocks live as long as the engine */
        for (int i = cap - 1; i >= w->cap; i--) w->free_slots[w->nfree++] = i;
        w->cap = cap;
    }
    w->live++;
    return w->free_slots[--w->nfree];
}

/* Under the lock. Forgets the row and frees its slot. */
static void orch_slot_done(struct orch_worker *w, int number) {
    struct orch_slot *s = w->slots[number];
    orch_map_remove(w->e, s->id, s->attempt);
    orch_template_drop(s->t);
    s->t = NULL;
    s->generation++;
    w->live--;
    w->free_slots[w->nfree++] = number;
}

/* Takes one row of the queue into a slot. Returns the slot's number or -1; *batch stays alive until orch_row_done. */
static int orch_take_row(struct orch_worker *w, struct orch_batch **batch, int64_t *row) {
    struct orch_engine *e = w->e;
    int number = -1;
    pthread_mutex_lock(&e->lock);
    while (e->head && number < 0) {
        struct orch_batch *b = e->head;
        while (b->at < b->n && b->cancelled[b->at]) b->at++;
        if (b->at == b->n) {
            e->head = b->next;
            if (!e->head) e->tail = NULL;
            b->next = NULL;
            if (!b->left) orch_batch_free(b);
            else b->left |= INT64_MIN; /* out of the queue: whoever finishes its last row frees it */
            continue;
        }
        number = orch_slot_new(w);
        if (number < 0) break;
        *batch = b;
        *row = b->at++;
        e->queued--;
        struct orch_slot *s = w->slots[number];
        s->id = b->ids[*row];
        s->attempt = b->attempts[*row];
        s->index = b->index[*row];
        s->pid = s->pidfd = s->pipe[0] = s->pipe[1] = s->log[0] = s->log[1] = -1;
        s->registered[0] = s->registered[1] = s->pending_signal = s->live = 0;
        s->log_bytes[0] = s->log_bytes[1] = s->log_base[0] = s->log_base[1] = 0;
        s->lost = 0;
        s->t = b->t;
        orch_template_keep(s->t);
        struct orch_entry *entry = orch_map_find(e, s->id, s->attempt);
        entry->worker = (int16_t)w->number;
        entry->at = number;
        entry->batch = NULL;
    }
    if (!e->queued && !e->stopping) {
        uint64_t drop; /* the wake descriptor is readable while, and only while, rows wait or the end has come */
        if (read(e->wake, &drop, 8) < 0) drop = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return number;
}

/* Under the lock. */
static void orch_row_done(struct orch_batch *b) {
    int64_t left = (b->left & INT64_MAX) - 1;
    int queued = b->left >= 0;
    b->left = left | (queued ? 0 : INT64_MIN);
    if (!left && !queued) orch_batch_free(b);
}

static int orch_make_pipes(struct orch_slot *s, int write_end[2]) {
    write_end[0] = write_end[1] = -1;
    for (int i = 0; i < 2; i++) {
        int fd[2];
        if (pipe2(fd, O_CLOEXEC)) return errno;
        fcntl(fd[0], F_SETFL, O_NONBLOCK); /* our end only: programs do not expect EAGAIN on stdout */
        s->pipe[i] = fd[0];
        write_end[i] = fd[1];
    }
    return 0;
}

static void orch_fresh_push(struct orch_worker *w, int slot, int64_t mono) {
    if (w->fresh_n == w->fresh_cap) {
        int cap = w->fresh_cap ? w->fresh_cap * 2 : 256;
        struct orch_fresh *grown = malloc((size_t)cap * sizeof *grown);
        if (!grown) abort();
        for (int i = 0; i < w->fresh_n; i++) grown[i] = w->fresh[(w->fresh_at + i) % w->fresh_cap];
        free(w->fresh);
        w->fresh = grown;
        w->fresh_at = 0;
        w->fresh_cap = cap;
    }
    w->fresh[(w->fresh_at + w->fresh_n++) % w->fresh_cap] =
        (struct orch_fresh){slot, w->slots[slot]->generation, mono};
}

static void orch_close_all(struct orch_worker *w, struct orch_slot *s) {
    for (int i = 0; i < 2; i++) {
        orch_pipe_close(w, s, i);
        if (s->log[i] >= 0) close(s->log[i]);
        s->log[i] = -1;
    }
    if (s->pidfd >= 0) close(s->pidfd);
    s->pidfd = -1;
}

/* Sandbox, pipes, environment, vfork. Returns 0, or the stage with *error set; nothing runs then. */
static int orch_start(struct orch_worker *w, struct orch_slot *s, int number, struct orch_batch *b, int64_t row,
                      int *error) {
    struct orch_template *t = s->t;
    int ends[2];
    if ((*error = orch_make_sandbox(w, t, s->id, s->attempt))) return STAGE_SANDBOX;
    char **env = orch_build_env(w, b, row);
    *error = env ? orch_make_pipes(s, ends) : ENOMEM;
    struct orch_child c = {.argv = t->argv, .env = env, .path = t->path, .cwd = w->path, .in_fd = w->e->null,
                           .new_session = 1, .death_signal = SIGKILL, .parent = w->e->pid, .mask = t->mask,
                           .uid = t->uid, .gid = t->gid, .ngroups = t->ngroups, .groups = t->groups,
                           .nlimits = t->nlimits, .limits = t->limits, .ncgroups = t->ncgroups,
                           .cgroup_fds = t->cgroup_fds};
    pid_t pid = -1;
    if (!*error) {
        c.out_fd = ends[0];
        c.err_fd = ends[1];
        pid = orch_spawn(&c);
        *error = c.error;
    } else {
        c.stage = STAGE_PIPE;
    }
    for (int i = 0; env && i < 2; i++) {
        if (ends[i] >= 0) close(ends[i]);
    }
    if (pid < 0) return c.stage;
    s->pidfd = orch_pidfd_open(pid);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)number << 2};
    if (s->pidfd < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->pidfd, &ev)) {
        *error = errno;
        kill(-pid, SIGKILL);
        siginfo_t info;
        while (syscall(SYS_waitid, P_PID, pid, &info, WEXITED, NULL) < 0 && errno == EINTR) {
        }
        return STAGE_WATCH;
    }
    s->pid = pid;
    return 0;
}

static int orch_launch_one(struct orch_worker *w) {
    struct orch_batch *b = NULL;
    int64_t row = 0;
    int number = orch_take_row(w, &b, &row);
    if (number < 0) return 0;
    struct orch_slot *s = w->slots[number];
    int error = 0, stage = orch_start(w, s, number, b, row, &error);
    s->started_ms = orch_clock_ms(CLOCK_REALTIME); /* seen by others only once it is live, under the lock */
    struct orch_event ev = {.id = s->id, .attempt = s->attempt, .pid = s->pid, .user = s->t->user,
                            .started_ms = s->started_ms, .at_ms = s->started_ms,
                            .what = stage ? EV_NOT_STARTED : EV_STARTED, .stage = (uint8_t)stage,
                            .code = (int16_t)error};
    if (stage) orch_close_all(w, s);
    pthread_mutex_lock(&w->e->lock);
    orch_row_done(b);
    if (stage) {
        orch_slot_done(w, number);
    } else {
        s->live = 1;
        if (s->pending_signal) kill(-s->pid, s->pending_signal);
    }
    pthread_mutex_unlock(&w->e->lock);
    if (!stage) orch_fresh_push(w, number, orch_clock_ms(CLOCK_MONOTONIC));
    orch_emit(w, ev);
    return 1;
}

/* The process has ended and is a zombie: its numbers are still its own until waitid. */
static void orch_reap(struct orch_worker *w, int number) {
    struct orch_slot *s = w->slots[number];
    siginfo_t info;
    struct rusage ru;
    memset(&ru, 0, sizeof ru);
    memset(&info, 0, sizeof info);
    kill(-s->pid, SIGKILL); /* what it left behind in its group */
    for (int i = 0; i < 2; i++) orch_pipe_drain(w, s, i, DRAIN_LIMIT);
    pthread_mutex_lock(&w->e->lock);
    s->live = 0; /* from here on nobody signals the number */
    pthread_mutex_unlock(&w->e->lock);
    while (syscall(SYS_waitid, P_PIDFD, s->pidfd, &info, WEXITED, &ru) < 0 && errno == EINTR) {
    }
    int64_t cpu_us = (int64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 + ru.ru_utime.tv_usec +
                     ru.ru_stime.tv_usec;
    struct orch_event ev = {.id = s->id, .attempt = s->attempt, .pid = s->pid, .user = s->t->user,
                            .started_ms = s->started_ms, .at_ms = orch_clock_ms(CLOCK_REALTIME),
                            .cpu_ms = (uint32_t)(cpu_us / 1000), .lost_bytes = s->lost, .what = EV_EXITED,
                            .code = (int16_t)(info.si_code == CLD_EXITED ? info.si_status : -info.si_status)};
    epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->pidfd, NULL);
    orch_close_all(w, s);
    orch_emit(w, ev);
    pthread_mutex_lock(&w->e->lock);
    orch_slot_done(w, number);
    pthread_mutex_unlock(&w->e->lock);
}

/* Registers the pipes of those that have lived LAZY_MS. Returns ms until the next is due, or -1. */
static int orch_ripen(struct orch_worker *w) {
    int64_t now = orch_clock_ms(CLOCK_MONOTONIC);
    while (w->fresh_n) {
        struct orch_fresh f = w->fresh[w->fresh_at];
        struct orch_slot *s = w->slots[f.slot];
        if (s->generation == f.generation && now - f.mono < LAZY_MS) return (int)(LAZY_MS - (now - f.mono));
        w->fresh_at = (w->fresh_at + 1) % w->fresh_cap;
        w->fresh_n--;
        if (s->generation != f.generation) continue;
        for (int i = 0; i < 2; i++) {
            struct epoll_event ev = {.events = EPOLLIN, .data.u64 = ((uint64_t)f.slot << 2) | (uint64_t)(i + 1)};
            if (s->pipe[i] >= 0 && !epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->pipe[i], &ev)) s->registered[i] = 1;
        }
    }
    return -1;
}

/* A worker with as many processes as it may have does not listen for waiting rows: it would find them all the time. */
static void orch_listen(struct orch_worker *w) {
    int full = w->live >= w->e->worker_max;
    if (full == w->full) return;
    struct epoll_event ev = {.events = full ? 0 : EPOLLIN, .data.u64 = WAKE_DATA};
    if (!epoll_ctl(w->epoll, EPOLL_CTL_MOD, w->e->wake, &ev)) w->full = full;
}

static void *orch_worker_main(void *arg) {
    struct orch_worker *w = arg;
    struct epoll_event events[EVENTS_PER_POLL];
    while (!__atomic_load_n(&w->e->stopping, __ATOMIC_ACQUIRE)) {
        int wait_ms = orch_ripen(w);
        if (w->full && (wait_ms < 0 || wait_ms > FULL_MS)) wait_ms = FULL_MS; /* the end is not heard either */
        int n = epoll_wait(w->epoll, events, EVENTS_PER_POLL, wait_ms);
        int woken = 0;
        for (int i = 0; i < n; i++) {
            uint64_t data = events[i].data.u64;
            if (data == WAKE_DATA) {
                woken = 1;
                continue;
            }
            int number = (int)(data >> 2), kind = (int)(data & 3);
            struct orch_slot *s = w->slots[number];
            if (s->pidfd < 0) continue; /* reaped earlier in this turn; slots are taken anew only below */
            if (!kind) orch_reap(w, number);
            else orch_pipe_drain(w, s, kind - 1, sizeof w->buf);
        }
        for (int i = 0; woken && i < LAUNCHES_PER_TURN && w->live < w->e->worker_max && orch_launch_one(w); i++) {
        }
        orch_flush(w);
        orch_listen(w);
    }
    return NULL;
}

/* ---- the owner's calls ---- */

/* With the engine go its processes: nobody would read their output or learn their end. */
static void orch_abandon(struct orch_worker *w, struct orch_slot *s) {
    siginfo_t info;
    kill(-s->pid, SIGKILL);
    while (syscall(SYS_waitid, P_PIDFD, s->pidfd, &info, WEXITED, NULL) < 0 && errno == EINTR) {
    }
    orch_close_all(w, s);
    orch_template_drop(s->t);
    s->t = NULL;
}

static void orch_engine_free(struct orch_engine *e) {
    uint64_t one = 1;
    pthread_mutex_lock(&e->lock);
    __atomic_store_n(&e->stopping, 1, __ATOMIC_RELEASE);
    if (write(e->wake, &one, 8) < 0) one = 0;
    pthread_mutex_unlock(&e->lock);
    for (int i = 0; i < e->nworkers; i++) {
        struct orch_worker *w = &e->workers[i];
        pthread_join(w->thread, NULL);
    }
    while (e->head) {
        struct orch_batch *next = e->head->next;
        orch_batch_free(e->head);
        e->head = next;
    }
    for (int i = 0; i < e->nworkers; i++) {
        struct orch_worker *w = &e->workers[i];
        for (int k = 0, block = 64; k < w->cap; k += block, block = k) {
            for (int j = k; j < k + block; j++) {
                if (w->slots[j]->t) orch_abandon(w, w->slots[j]);
            }
            free(w->slots[k]);
        }
        close(w->epoll);
        free(w->slots);
        free(w->free_slots);
        free(w->out);
        free(w->envp);
        free(w->fresh);
    }
    free(e->workers);
    free(e->map);
    free(e->events);
    if (e->wake >= 0) close(e->wake);
    if (e->notify >= 0) close(e->notify);
    if (e->null >= 0) close(e->null);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* Descriptors that the rest of the process may need, and those of one live job: pidfd, two pipes, two logs. */
#define FDS_KEPT 512
#define FDS_PER_JOB 5

static int orch_worker_max(int workers) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > (1 << 22)) return (1 << 22) / FDS_PER_JOB / workers;
    int64_t most = ((int64_t)limit.rlim_cur - FDS_KEPT) / FDS_PER_JOB / workers;
    return most > 16 ? (int)most : 16;
}

/* journal: an open O_APPEND descriptor (borrowed), or -1. Returns NULL with errno set. */
static struct orch_engine *orch_engine_new(int workers, int journal) {
    struct orch_engine *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->journal = journal;
    e->pid = getpid();
    e->worker_max = orch_worker_max(workers);
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    e->map_cap = 1024;
    e->map = calloc((size_t)e->map_cap, sizeof *e->map);
    e->workers = calloc((size_t)workers, sizeof *e->workers);
    pthread_mutex_init(&e->lock, NULL);
    int ok = e->wake >= 0 && e->notify >= 0 && e->null >= 0 && e->map && e->workers;
    uint64_t all = ~(uint64_t)0, old;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8); /* the workers take no signals: Python's thread does */
    for (int i = 0; ok && i < workers; i++) {
        struct orch_worker *w = &e->workers[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.u64 = WAKE_DATA};
        w->e = e;
        w->number = i;
        w->epoll = epoll_create1(EPOLL_CLOEXEC);
        ok = w->epoll >= 0 && !epoll_ctl(w->epoll, EPOLL_CTL_ADD, e->wake, &ev);
        int error = ok ? pthread_create(&w->thread, NULL, orch_worker_main, w) : errno;
        if (!error) e->nworkers++;
        else ok = 0, errno = error;
    }
    int error = errno;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    if (!ok) {
        orch_engine_free(e);
        errno = error;
        return NULL;
    }
    return e;
}

/* Queues a batch. Returns -1 queued, -2 without memory (nothing is queued), or the first row that is here already. */
static int64_t orch_engine_launch(struct orch_engine *e, struct orch_batch *b) {
    int64_t bad = -1;
    pthread_mutex_lock(&e->lock);
    for (int64_t i = 0; i < b->n && bad == -1; i++) {
        if (orch_map_find(e, b->ids[i], b->attempts[i])) bad = i;
        else if (orch_map_put(e, (struct orch_entry){b->ids[i], i, b, b->attempts[i], -1, 1})) bad = -2;
        if (bad != -1) {
            for (int64_t k = 0; k < i; k++) orch_map_remove(e, b->ids[k], b->attempts[k]);
        }
    }
    if (bad == -1 && b->n) {
        orch_template_keep(b->t);
        if (e->tail) e->tail->next = b;
        else e->head = b;
        e->tail = b;
        e->queued += b->n;
        uint64_t one = 1;
        if (write(e->wake, &one, 8) < 0) one = 0;
    }
    pthread_mutex_unlock(&e->lock);
    return bad;
}

/* Signals the process group of each row, or takes the row out of the queue. result: 0 unknown here, 1 signalled,
 * 2 cancelled before it started (an event follows), 3 it is just being started and gets the signal then. */
static void orch_engine_kill(struct orch_engine *e, int64_t n, const int64_t *ids, const int32_t *attempts, int sig,
                             uint8_t *result) {
    int64_t now = orch_clock_ms(CLOCK_REALTIME);
    pthread_mutex_lock(&e->lock);
    for (int64_t i = 0; i < n; i++) {
        struct orch_entry *found = orch_map_find(e, ids[i], attempts[i]);
        result[i] = 0;
        if (!found) continue;
        if (found->batch) {
            struct orch_batch *b = found->batch;
            struct orch_event ev = {.id = ids[i], .attempt = attempts[i], .pid = -1, .user = b->t->user,
                                    .started_ms = now, .at_ms = now, .code = (int16_t)-sig, .what = EV_CANCELLED,
                                    .magic = EVENT_MAGIC};
            b->cancelled[found->at] = 1;
            b->left--;
            e->queued--;
            orch_map_remove(e, ids[i], attempts[i]);
            orch_publish(e, &ev, 1);
            result[i] = 2;
            continue;
        }
        struct orch_slot *s = e->workers[found->worker].slots[found->at];
        result[i] = s->live ? 1 : 3;
        if (s->live) kill(-s->pid, sig);
        else if (sig == SIGKILL || !s->pending_signal) s->pending_signal = sig;
    }
    pthread_mutex_unlock(&e->lock);
}

/* What runs, at most `room` rows of id, attempt, pid, started_ms, mem_limit_kib (int64 each). */
static int64_t orch_engine_running(struct orch_engine *e, int64_t room, int64_t *rows) {
    int64_t n = 0;
    pthread_mutex_lock(&e->lock);
    for (int64_t i = 0; i < e->map_cap && n < room; i++) {
        if (!e->map[i].used || e->map[i].batch) continue;
        struct orch_slot *s = e->workers[e->map[i].worker].slots[e->map[i].at];
        if (!s->live) continue;
        int64_t *row = rows + 5 * n++;
        row[0] = s->id;
        row[1] = s->attempt;
        row[2] = s->pid;
        row[3] = s->started_ms;
        row[4] = s->t->mem_limit_kib;
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}
