/* The child's side of a launch: everything between vfork() and execve().
 *
 * The child shares the memory of its parent until it execs, so nothing here may allocate, lock, or call a libc
 * wrapper that does (glibc's setuid() signals every thread of the process, hence the raw calls). A step that fails
 * is told to the parent through that same memory: `stage` and `error` of the request, never an exit code 127.
 *
 * Shared by the supervisor's engine (_engine.h) and by the service stub (_stub.c); depends on nothing of ours.
 */
#ifndef ORCH_CHILD_H
#define ORCH_CHILD_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define ORCH_MAX_RLIMITS 8
#define ORCH_MAX_CGROUPS 8
#define ORCH_MAX_GROUPS 32
#define ORCH_PATH_MAX 4096

/* Where a launch failed. Kept in step with node/reasons.py. */
enum orch_stage {
    STAGE_NONE = 0,
    STAGE_SANDBOX = 1, /* making or owning the working directory */
    STAGE_PIPE = 2,    /* log pipes: out of file descriptors */
    STAGE_FORK = 3,    /* no process to be had */
    STAGE_CHDIR = 4,
    STAGE_CGROUP = 5,
    STAGE_LIMIT = 6,
    STAGE_USER = 7,
    STAGE_EXEC = 8, /* the command itself: not there, not executable, wrong format */
    STAGE_WATCH = 9 /* pidfd or epoll */
};

struct orch_rlimit {
    int resource;
    uint64_t soft, hard; /* RLIM_INFINITY for none */
};

/* One launch. All pointers belong to the parent and outlive the exec. */
struct orch_child {
    char **argv;            /* argv[0] is looked up along `path` when it has no slash */
    char **env;
    const char *path;       /* search path, as in $PATH; never NULL */
    const char *cwd;        /* NULL: stay */
    int in_fd, out_fd, err_fd; /* descriptors for 0, 1 and 2; -1 leaves /dev/null (in) or the parent's (out, err) */
    int new_session;        /* setsid(): a process group of its own, no terminal */
    int death_signal;       /* sent when the parent's thread goes; 0 for none */
    pid_t parent;           /* with a death signal: getpid() of the caller */
    int mask;               /* umask; -1 leaves it */
    int64_t uid, gid;       /* -1 leaves them */
    int ngroups;
    const gid_t *groups;
    int nlimits;
    const struct orch_rlimit *limits;
    int ncgroups;
    const int *cgroup_fds;  /* open cgroup.procs files; "0" is written to each */
    volatile int stage, error; /* out: 0, 0 when the exec happened */
};

static inline int orch_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int orch_pidfd_signal(int fd, int sig) { return (int)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0); }

static inline int orch_pidfd_queue(int fd, int sig, int value) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = value;
    return (int)syscall(SYS_pidfd_send_signal, fd, sig, &info, 0);
}

struct orch_ksigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

/* Tries each folder of the search path, like execvp: a folder that may not be read does not end the search. */
static int orch_exec_search(const struct orch_child *c) {
    const char *name = c->argv[0];
    char full[ORCH_PATH_MAX];
    size_t name_len = strlen(name);
    int denied = 0;
    if (!name_len) return ENOENT;
    if (strchr(name, '/')) {
        execve(name, c->argv, c->env);
        return errno;
    }
    for (const char *p = c->path; *p;) {
        const char *end = strchr(p, ':');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len + name_len + 2 <= sizeof full) {
            memcpy(full, p, len);
            if (len) full[len++] = '/';
            memcpy(full + len, name, name_len + 1);
            execve(full, c->argv, c->env);
            if (errno == EACCES) denied = 1;
            else if (errno != ENOENT && errno != ENOTDIR) return errno;
        }
        if (!end) break;
        p = end + 1;
    }
    return denied ? EACCES : ENOENT;
}

/* Handlers go back to the default before any signal is let in: a handler of the parent's would run in shared memory. */
static void orch_reset_signals(void) {
    struct orch_ksigaction dfl;
    memset(&dfl, 0, sizeof dfl);
    for (int s = 1; s <= 64; s++) {
        if (s != SIGKILL && s != SIGSTOP) syscall(SYS_rt_sigaction, s, &dfl, NULL, 8);
    }
}

static inline void orch_child_fail(struct orch_child *c, int stage, int error) {
    c->stage = stage;
    c->error = error;
    _exit(127);
}

static void orch_child_descriptors(struct orch_child *c) {
    /* Lift the three above 2 first, so that no dup2 overwrites one that is still wanted. */
    int fd[3] = {c->in_fd, c->out_fd, c->err_fd};
    for (int i = 0; i < 3; i++) {
        if (fd[i] >= 0 && fd[i] < 3 && fd[i] != i) fd[i] = fcntl(fd[i], F_DUPFD, 3);
    }
    for (int i = 0; i < 3; i++) {
        if (fd[i] < 0 && i > 0) continue;
        if (fd[i] < 0) {
            int null = open("/dev/null", O_RDONLY);
            if (null < 0) continue;
            if (null != 0) {
                dup2(null, 0);
                close(null);
            }
        } else if (fd[i] == i) {
            fcntl(i, F_SETFD, 0);
        } else {
            dup2(fd[i], i);
        }
    }
    syscall(SYS_close_range, 3u, ~0u, 0u); /* whatever a library of the parent's left open without close-on-exec */
}

__attribute__((noinline, unused)) static void orch_child_main(struct orch_child *c) {
    uint64_t none = 0;
    if (c->new_session) setsid();
    orch_reset_signals();
    if (c->mask >= 0) umask((mode_t)c->mask);
    for (int i = 0; i < c->ncgroups; i++) {
        if (write(c->cgroup_fds[i], "0", 1) != 1) orch_child_fail(c, STAGE_CGROUP, errno);
    }
    orch_child_descriptors(c);
    for (int i = 0; i < c->nlimits; i++) {
        struct rlimit r = {c->limits[i].soft, c->limits[i].hard};
        if (setrlimit(c->limits[i].resource, &r)) orch_child_fail(c, STAGE_LIMIT, errno);
    }
    /* Before the uid changes: the folders above the sandbox need not be open to it. */
    if (c->cwd && chdir(c->cwd)) orch_child_fail(c, STAGE_CHDIR, errno);
    if (c->gid >= 0) {
        if (syscall(SYS_setgroups, c->ngroups, c->groups)) orch_child_fail(c, STAGE_USER, errno);
        if (syscall(SYS_setresgid, c->gid, c->gid, c->gid)) orch_child_fail(c, STAGE_USER, errno);
    }
    if (c->uid >= 0 && syscall(SYS_setresuid, c->uid, c->uid, c->uid)) orch_child_fail(c, STAGE_USER, errno);
    if (c->death_signal) { /* after the uid: a change of it clears this */
        prctl(PR_SET_PDEATHSIG, c->death_signal);
        if (getppid() != c->parent) _exit(127); /* it went before it could be asked to */
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
    orch_child_fail(c, STAGE_EXEC, orch_exec_search(c));
}

/* vfork + orch_child_main. Returns the pid, or -1 with c->stage and c->error set (the child, if any, is reaped).
 * The caller's thread waits until the exec; other threads run on. */
__attribute__((noinline, unused)) static pid_t orch_spawn(struct orch_child *c) {
    uint64_t all = ~(uint64_t)0, old;
    c->stage = STAGE_NONE;
    c->error = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8); /* libc's own wrapper would leave its two signals open */
    volatile pid_t pid = vfork();
    if (pid == 0) {
        orch_child_main(c);
        _exit(127);
    }
    int error = errno;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    if (pid < 0) {
        c->stage = STAGE_FORK;
        c->error = error;
        return -1;
    }
    if (c->stage != STAGE_NONE) {
        siginfo_t info;
        while (syscall(SYS_waitid, P_PID, pid, &info, WEXITED, NULL) < 0 && errno == EINTR) {
        }
        return -1;
    }
    return pid;
}

#endif
