/* The stub: a small process that owns one container of a service, so that no death of ours loses it.
 *
 * Usage: stub FOLDER < spec. It starts the command, takes its output through pipes into rotated log files, passes a stop
 * on to the whole tree, and when the command ends it kills what is left of the tree and writes the exit status to
 * FOLDER/exit (a whole file or none). It needs no supervisor: it goes on while there is none.
 *
 * The spec on stdin is NUL-ended strings, a key and a value in turn (keys in `take_field`); it holds the environment and
 * is never on disk. On stdout, a pipe, one line says how the start went: "started PID MS" or "failed STAGE ERRNO".
 * FOLDER/pid: "1 BOOT_ID STUB_PID STUB_START CHILD_PID STARTED_MS\n" (STUB_START: clock ticks since boot, from /proc).
 * FOLDER/exit: "1 exited CODE STARTED_MS ENDED_MS LOST_BYTES\n" (CODE 0..255 or -signal), or "1 failed STAGE ERRNO AT_MS\n".
 * SIGTERM: stop, SIGKILL after the spec's grace, or after the queued value in ms. SIGUSR1: SIGKILL now.
 */
#include "_child.h"
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>

#define CHUNK 65536
#define DRAIN_LIMIT (4 << 20)
#define KILL_TURNS 2000 /* of 5 ms: what cannot be killed in 10 s (a hung disk) is left */

struct stream {
    const char *name;
    int pipe, file;
    int64_t bytes, base; /* in the current file; in those before it */
};

static struct orch_child child;
static char *logs = "";
static int64_t log_max_bytes = 4 << 20, grace_ms = 3000, lost_bytes;
static struct stream streams[2] = {{"stdout", -1, -1, 0, 0}, {"stderr", -1, -1, 0, 0}};
static char chunk[CHUNK];

static int64_t clock_ms(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the spec ---- */

static char *read_all(int fd, size_t *size) {
    size_t cap = 65536, n = 0;
    char *data = malloc(cap + 1);
    for (;;) {
        if (!data) exit(111);
        ssize_t got = read(fd, data + n, cap - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
        if (n == cap) data = realloc(data, (cap *= 2) + 1);
    }
    data[n] = 0;
    *size = n;
    return data;
}

static void append(char ***list, char *item) {
    size_t n = 0;
    while (*list && (*list)[n]) n++;
    *list = realloc(*list, (n + 2) * sizeof **list);
    if (!*list) exit(111);
    (*list)[n] = item;
    (*list)[n + 1] = NULL;
}

static void take_field(const char *key, char *value) {
    static gid_t groups[ORCH_MAX_GROUPS];
    static struct orch_rlimit limits[ORCH_MAX_RLIMITS];
    static int cgroups[ORCH_MAX_CGROUPS];
    long long resource, soft, hard;
    if (!strcmp(key, "arg")) append(&child.argv, value);
    else if (!strcmp(key, "env")) append(&child.env, value);
    else if (!strcmp(key, "path")) child.path = value;
    else if (!strcmp(key, "cwd")) child.cwd = value;
    else if (!strcmp(key, "logs")) logs = value;
    else if (!strcmp(key, "log_max_bytes")) log_max_bytes = atoll(value);
    else if (!strcmp(key, "grace_ms")) grace_ms = atoll(value);
    else if (!strcmp(key, "uid")) child.uid = atoll(value);
    else if (!strcmp(key, "gid")) child.gid = atoll(value);
    else if (!strcmp(key, "group") && child.ngroups < ORCH_MAX_GROUPS) {
        groups[child.ngroups++] = (gid_t)atoll(value);
        child.groups = groups;
    } else if (!strcmp(key, "limit") && child.nlimits < ORCH_MAX_RLIMITS &&
               sscanf(value, "%lld:%lld:%lld", &resource, &soft, &hard) == 3) {
        limits[child.nlimits++] = (struct orch_rlimit){(int)resource, (uint64_t)soft, (uint64_t)hard};
        child.limits = limits;
    } else if (!strcmp(key, "cgroup") && child.ncgroups < ORCH_MAX_CGROUPS) {
        cgroups[child.ncgroups++] = open(value, O_WRONLY | O_CLOEXEC);
        child.cgroup_fds = cgroups;
    }
}

static void read_spec(void) {
    size_t size;
    char *data = read_all(0, &size), *end = data + size;
    child.uid = child.gid = -1;
    child.mask = 022;
    child.path = "/usr/bin:/bin";
    child.new_session = 1;
    child.in_fd = -1;
    append(&child.env, NULL);
    for (char *key = data; key < end;) {
        char *value = key + strlen(key) + 1;
        if (value > end) break;
        take_field(key, value);
        key = value + strlen(value) + 1;
    }
    if (!child.argv) exit(112);
}

/* ---- records: written beside, then renamed, so that nobody sees half of one ---- */

static void put(const char *name, const char *text) {
    char beside[32];
    snprintf(beside, sizeof beside, "%s.new", name);
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return;
    size_t n = strlen(text);
    int whole = write(fd, text, n) == (ssize_t)n;
    if (!close(fd) && whole) rename(beside, name);
    else unlink(beside);
}

/* An exit status is worth waiting for a disk that is full. */
static void put_exit(const char *text) {
    for (int i = 0; i < 600; i++) {
        put("exit", text);
        if (!access("exit", F_OK)) return;
        poll(NULL, 0, 1000);
    }
}

static void tell(const char *text) {
    if (write(1, text, strlen(text)) < 0) return; /* no supervisor: it reads the files when it is back */
}

/* ---- /proc ---- */

struct process {
    pid_t pid, parent;
};

/* Parent and start time of a process; the name in /proc/PID/stat may hold anything, so look behind its last bracket. */
static int read_stat(pid_t pid, pid_t *parent, unsigned long long *start) {
    char path[64], text[1024], state;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return -1;
    text[n] = 0;
    char *at = strrchr(text, ')');
    int ppid;
    if (!at || sscanf(at + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                      &ppid, start) != 3)
        return -1;
    *parent = ppid;
    return state == 'Z' ? 1 : 0;
}

/* Signals every descendant (as their reaper we are the ancestor of all, also of those in a session of their own).
 * Returns how many live. */
static int signal_tree(int sig) {
    static struct process *all;
    static size_t cap;
    size_t n = 0, count = 0;
    DIR *proc = opendir("/proc");
    if (!proc) return 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = atoi(entry->d_name), parent;
        unsigned long long start;
        if (pid <= 0 || read_stat(pid, &parent, &start) != 0) continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 1024;
            all = realloc(all, cap * sizeof *all);
            if (!all) exit(111);
        }
        all[n++] = (struct process){pid, parent};
    }
    closedir(proc);
    /* Breadth first: the found ones are moved to the front. */
    pid_t self = getpid();
    for (size_t done = 0, first = 1; first || done < count; first = 0) {
        pid_t of = first ? self : all[done++].pid;
        for (size_t i = count; i < n; i++) {
            if (all[i].parent != of) continue;
            struct process swap = all[count];
            all[count++] = all[i];
            all[i] = swap;
        }
    }
    for (size_t i = 0; i < count; i++) kill(all[i].pid, sig);
    return (int)count;
}

/* ---- logs ---- */

static void log_open(struct stream *s) {
    char path[ORCH_PATH_MAX];
    snprintf(path, sizeof path, "%s.%s", logs, s->name);
    s->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* A full file becomes `.1`, replacing an older one. `.base` says at which byte of the whole output `.1` begins. */
static void log_rotate(struct stream *s) {
    char path[ORCH_PATH_MAX], other[ORCH_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s.%s", logs, s->name);
    snprintf(other, sizeof other, "%s.base", path);
    FILE *base = fopen(other, "we");
    if (base) {
        fprintf(base, "%lld\n", (long long)s->base);
        fclose(base);
    }
    snprintf(other, sizeof other, "%s.1", path);
    rename(path, other);
    close(s->file);
    s->file = -1;
    s->base += s->bytes;
    s->bytes = 0;
}

static void log_write(struct stream *s, const char *data, size_t n) {
    if (s->file >= 0 && s->bytes > 0 && s->bytes + (int64_t)n > log_max_bytes) log_rotate(s);
    if (s->file < 0) log_open(s);
    while (n) {
        ssize_t wrote = s->file >= 0 ? write(s->file, data, n) : -1;
        if (wrote < 0 && s->file >= 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            lost_bytes += (int64_t)n;
            return;
        }
        s->bytes += wrote;
        data += wrote;
        n -= (size_t)wrote;
    }
}

static void drain(struct stream *s, int64_t limit) {
    while (s->pipe >= 0 && limit > 0) {
        ssize_t n = read(s->pipe, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            close(s->pipe);
            s->pipe = -1;
            return;
        }
        log_write(s, chunk, (size_t)n);
        limit -= n;
    }
}

/* ---- life ---- */

static void fail(int stage, int error) {
    char text[128];
    snprintf(text, sizeof text, "1 failed %d %d %lld\n", stage, error, (long long)clock_ms(CLOCK_REALTIME));
    put_exit(text);
    snprintf(text, sizeof text, "failed %d %d\n", stage, error);
    tell(text);
    exit(0);
}

static pid_t start(void) {
    int ends[2];
    for (int i = 0; i < child.ncgroups; i++) {
        if (child.cgroup_fds[i] < 0) fail(STAGE_CGROUP, ENOENT);
    }
    for (int i = 0; i < 2; i++) {
        int fd[2];
        if (pipe2(fd, O_CLOEXEC)) fail(STAGE_PIPE, errno);
        fcntl(fd[0], F_SETFL, O_NONBLOCK);
        streams[i].pipe = fd[0];
        ends[i] = fd[1];
    }
    child.out_fd = ends[0];
    child.err_fd = ends[1];
    pid_t pid = orch_spawn(&child);
    if (pid < 0) fail(child.stage, child.error);
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; i < child.ncgroups; i++) close(child.cgroup_fds[i]);
    return pid;
}

static void write_pid(pid_t pid, int64_t started_ms) {
    char boot[64] = "-", text[256];
    pid_t parent;
    unsigned long long start_ticks = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, boot, sizeof boot - 1);
        boot[n > 0 ? n : 0] = 0;
        boot[strcspn(boot, "\n")] = 0;
        close(fd);
    }
    read_stat(getpid(), &parent, &start_ticks);
    snprintf(text, sizeof text, "1 %s %d %llu %d %lld\n", boot, getpid(), start_ticks, pid, (long long)started_ms);
    put("pid", text);
}

/* Takes dead children. Returns 1 once the command is among them, with its wait status. */
static int reap(pid_t pid, int *status) {
    int found = 0, one;
    pid_t dead;
    while ((dead = waitpid(-1, &one, WNOHANG)) > 0) {
        if (dead == pid) {
            found = 1;
            *status = one;
        }
    }
    return found;
}

/* Until the command has ended: output to the logs, signals to the tree. Returns its wait status. */
static int tend(pid_t pid, int signals) {
    int64_t kill_at = -1;
    int status = 0;
    for (;;) {
        struct pollfd fds[3] = {{signals, POLLIN, 0}, {streams[0].pipe, POLLIN, 0}, {streams[1].pipe, POLLIN, 0}};
        int64_t left = kill_at < 0 ? -1 : kill_at - clock_ms(CLOCK_BOOTTIME);
        poll(fds, 3, left < 0 ? (kill_at < 0 ? -1 : 0) : (int)(left > 60000 ? 60000 : left));
        struct signalfd_siginfo info;
        int ended = 0;
        while (read(signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGCHLD) {
                ended |= reap(pid, &status);
            } else if (info.ssi_signo == SIGUSR1) {
                kill_at = 0;
            } else if (kill_at < 0) {
                signal_tree(SIGTERM);
                kill_at = clock_ms(CLOCK_BOOTTIME) + (info.ssi_code == SI_QUEUE ? info.ssi_int : grace_ms);
            }
        }
        if (ended) return status;
        if (kill_at >= 0 && clock_ms(CLOCK_BOOTTIME) >= kill_at) {
            signal_tree(SIGKILL);
            kill_at = clock_ms(CLOCK_BOOTTIME) + 20; /* again, for what was born meanwhile */
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i + 1].revents) drain(&streams[i], CHUNK);
        }
    }
}

int main(int argc, char **argv) {
    sigset_t set;
    char text[160];
    int status, ignored;
    if (argc != 2 || chdir(argv[1])) return 113;
    sigfillset(&set); /* everything is blocked and read from a descriptor; the command starts with an empty mask */
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_NAME, "orch-stub", 0, 0, 0);
    read_spec();
    pid_t pid = start();
    int64_t started_ms = clock_ms(CLOCK_REALTIME);
    write_pid(pid, started_ms);
    snprintf(text, sizeof text, "started %d %lld\n", pid, (long long)started_ms);
    tell(text);
    status = tend(pid, signals);
    int64_t ended_ms = clock_ms(CLOCK_REALTIME);
    for (int turn = 0; turn < KILL_TURNS && signal_tree(SIGKILL); turn++) {
        reap(0, &ignored);
        poll(NULL, 0, 5);
    }
    reap(0, &ignored);
    for (int i = 0; i < 2; i++) drain(&streams[i], DRAIN_LIMIT);
    snprintf(text, sizeof text, "1 exited %d %lld %lld %lld\n",
             WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), (long long)started_ms, (long long)ended_ms,
             (long long)lost_bytes);
    put_exit(text);
    return 0;
}
