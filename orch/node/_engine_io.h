/* Folders, environment and log files of the job path. Included by _engine.h; one worker's thread at a time. */

/* mkdir `path`, making its parent (a shard, open for passing through only) when that is not there yet. */
static int orch_make_dir(char *path, mode_t mode) {
    if (!mkdir(path, mode) || errno == EEXIST) return 0;
    if (errno != ENOENT) return -1;
    char *slash = strrchr(path, '/');
    *slash = 0;
    int made = mkdir(path, 0711);
    if (!made) made = chmod(path, 0711); /* whatever the umask is: pods of several users pass here */
    else if (errno == EEXIST) made = 0;
    *slash = '/';
    if (made) return -1;
    return mkdir(path, mode) && errno != EEXIST ? -1 : 0;
}

static int orch_make_sandbox(struct orch_worker *w, const struct orch_template *t, int64_t id, int32_t attempt) {
    int n = snprintf(w->path, sizeof w->path, "%s/%lld/%lld-%d", t->sandbox_root, (long long)(id / SHARD_ROWS),
                     (long long)id, attempt);
    if (n >= (int)sizeof w->path) return ENAMETOOLONG;
    if (orch_make_dir(w->path, 0700)) return errno;
    if (t->uid >= 0 && lchown(w->path, (uid_t)t->uid, (gid_t)t->gid)) return errno;
    return 0;
}

/* Length of "NAME=" in an environment entry. */
static size_t orch_env_key(const char *entry) {
    const char *eq = strchr(entry, '=');
    return eq ? (size_t)(eq - entry) + 1 : strlen(entry);
}

static int orch_env_named(char *const *env, int n, const char *entry, size_t key) {
    for (int i = 0; i < n; i++) {
        if (!strncmp(env[i], entry, key)) return 1;
    }
    return 0;
}

/* The environment of one row: ours first, then the row's own, then the template's; the first of a name wins. */
static char **orch_build_env(struct orch_worker *w, const struct orch_batch *b, int64_t row) {
    const struct orch_template *t = b->t;
    const char *p = b->env_off ? b->blob + b->env_off[row] : NULL;
    const char *end = b->env_off ? b->blob + b->env_off[row + 1] : NULL;
    int n = 0, need = t->env_len + 9;
    for (const char *q = p; q < end; q += strlen(q) + 1) need++;
    if (need > w->envp_cap) {
        char **grown = realloc(w->envp, (size_t)need * 2 * sizeof *grown);
        if (!grown) return NULL;
        w->envp = grown;
        w->envp_cap = need * 2;
    }
    long long index = (long long)b->index[row];
    snprintf(w->env[0], ENV_TEXT, "ORCH_INDEX=%lld", index);
    snprintf(w->env[1], ENV_TEXT, "ORCH_ID=%lld", (long long)b->ids[row]);
    snprintf(w->env[2], ENV_TEXT, "ORCH_ATTEMPT=%d", b->attempts[row]);
    snprintf(w->env[3], ENV_TEXT, "ORCH_INSTANCE=%s.%lld", t->name, index);
    snprintf(w->env[4], ENV_TEXT, "MESOS_TASK_ID=%s.%lld", t->name, index);
    snprintf(w->env[5], ENV_TEXT, "MESOS_SANDBOX=%s", w->path);
    snprintf(w->env[6], ENV_TEXT, "HOME=%s", w->path);
    for (; n < 6; n++) w->envp[n] = w->env[n];
    int ours = n;
    for (; p < end; p += strlen(p) + 1) {
        if (!orch_env_named(w->envp, ours, p, orch_env_key(p))) w->envp[n++] = (char *)p;
    }
    int named = n;
    for (int i = 0; i < t->env_len; i++) {
        if (!orch_env_named(w->envp, named, t->env[i], t->env_key[i])) w->envp[n++] = t->env[i];
    }
    if (!orch_env_named(w->envp + ours, n - ours, "HOME=", 5)) w->envp[n++] = w->env[6];
    w->envp[n] = NULL;
    return w->envp;
}

static const char *const orch_stream_names[2] = {"stdout", "stderr"};

static void orch_log_path(char *path, size_t size, const struct orch_slot *s, int which) {
    snprintf(path, size, "%s/%lld/%lld-%d.%s", s->t->log_root, (long long)(s->id / SHARD_ROWS), (long long)s->id,
             s->attempt, orch_stream_names[which]);
}

static int orch_log_open(struct orch_slot *s, int which) {
    char path[ORCH_PATH_MAX];
    orch_log_path(path, sizeof path, s, which);
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
    s->log[which] = open(path, flags, 0600);
    if (s->log[which] < 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
        s->log[which] = open(path, flags, 0600);
    }
    return s->log[which];
}

/* A full file becomes `.1`, replacing an older one. `.base` says at which byte of the whole output `.1` begins. */
static void orch_log_rotate(struct orch_slot *s, int which) {
    char path[ORCH_PATH_MAX], other[ORCH_PATH_MAX + 8], text[32];
    orch_log_path(path, sizeof path, s, which);
    snprintf(other, sizeof other, "%s.base", path);
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        int n = snprintf(text, sizeof text, "%lld\n", (long long)s->log_base[which]);
        if (write(fd, text, (size_t)n) < 0) s->lost += 1;
        close(fd);
    }
    snprintf(other, sizeof other, "%s.1", path);
    rename(path, other);
    close(s->log[which]);
    s->log[which] = -1;
    s->log_base[which] += s->log_bytes[which];
    s->log_bytes[which] = 0;
}

/* The file is made at the first byte, and turned over by whole chunks. */
static void orch_log_write(struct orch_slot *s, int which, const char *data, size_t n) {
    if (s->log[which] >= 0 && s->log_bytes[which] > 0 && s->log_bytes[which] + (int64_t)n > s->t->log_max_bytes)
        orch_log_rotate(s, which);
    if (s->log[which] < 0) orch_log_open(s, which);
    while (n) {
        ssize_t wrote = s->log[which] >= 0 ? write(s->log[which], data, n) : -1;
        if (wrote < 0 && s->log[which] >= 0 && errno == EINTR) continue;
        if (wrote <= 0) { /* a full disk: the pod goes on, what is lost is counted */
            uint32_t room = UINT32_MAX - s->lost;
            s->lost += n < room ? (uint32_t)n : room;
            return;
        }
        s->log_bytes[which] += wrote;
        data += wrote;
        n -= (size_t)wrote;
    }
}

static void orch_pipe_close(struct orch_worker *w, struct orch_slot *s, int which) {
    if (s->pipe[which] < 0) return;
    /* Removed by hand: a child of the pod may hold the write end, but never this one, so close alone would do too,
     * unless a launch on another thread is between vfork and exec with a copy of it. */
    if (s->registered[which]) epoll_ctl(w->epoll, EPOLL_CTL_DEL, s->pipe[which], NULL);
    s->registered[which] = 0;
    close(s->pipe[which]);
    s->pipe[which] = -1;
}

/* Moves what is in the pipe to the log, at most `limit` bytes. Closes the pipe at its end. */
static void orch_pipe_drain(struct orch_worker *w, struct orch_slot *s, int which, int64_t limit) {
    while (s->pipe[which] >= 0 && limit > 0) {
        ssize_t n = read(s->pipe[which], w->buf, sizeof w->buf);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            orch_pipe_close(w, s, which);
            return;
        }
        orch_log_write(s, which, w->buf, (size_t)n);
        limit -= n;
        if (n < (ssize_t)sizeof w->buf) return; /* a pipe gives all it has */
    }
}
