# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Processes, without a Python object per process: the compiled half of the node supervisor.

`Engine` runs the job path (see `_engine.h`): a template and columns of rows go in, columns of events come out.
`spawn` starts one process by the same child code (`_child.h`), for stubs, health commands and terminals.
"""
from libc.errno cimport errno
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strdup
from posix.types cimport gid_t, pid_t
from posix.unistd cimport close, read
import os

import numpy as np


cdef extern from "_engine.h" nogil:
    enum:
        ORCH_MAX_RLIMITS
        ORCH_MAX_CGROUPS
        ORCH_MAX_GROUPS
    struct orch_rlimit:
        int resource
        uint64_t soft, hard
    struct orch_child:
        char **argv
        char **env
        const char *path
        const char *cwd
        pid_t parent
        int in_fd, out_fd, err_fd, new_session, death_signal, mask, ngroups, nlimits, ncgroups
        int64_t uid, gid
        gid_t *groups
        orch_rlimit *limits
        int *cgroup_fds
        int stage, error
    struct orch_event:
        int64_t id, started_ms, at_ms
        int32_t attempt, pid
        uint32_t user, cpu_ms, lost_bytes
        int16_t code
        uint8_t what, stage
        uint32_t magic, crc
    struct orch_template:
        char **argv
        char **env
        size_t *env_key
        int env_len
        char *path
        char *sandbox_root
        char *log_root
        char *name
        int64_t uid, gid
        int ngroups, nlimits, ncgroups, mask
        gid_t *groups
        orch_rlimit *limits
        int *cgroup_fds
        int64_t log_max_bytes, mem_limit_kib
        uint32_t user
        int refs
    ctypedef struct pthread_mutex_t:
        pass
    struct orch_batch:
        orch_template *t
    struct orch_engine:
        pthread_mutex_t lock
        int notify, notified
        orch_event *events
        int64_t nevents, events_cap, nended, queued, map_n
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)
    orch_engine *orch_engine_new(int workers, int journal)
    void orch_engine_free(orch_engine *)
    int64_t orch_engine_launch(orch_engine *, orch_batch *)
    void orch_engine_kill(orch_engine *, int64_t, const int64_t *, const int32_t *, int, uint8_t *)
    int64_t orch_engine_running(orch_engine *, int64_t, int64_t *)
    orch_batch *orch_batch_new(orch_template *, int64_t, const int64_t *, const int32_t *, const int64_t *,
                               const int64_t *, const char *)
    void orch_batch_free(orch_batch *)
    void orch_template_drop(orch_template *)
    size_t orch_env_key(const char *)
    uint32_t orch_crc(const void *, size_t)
    pid_t orch_spawn(orch_child *)
    int orch_pidfd_open(pid_t)
    int orch_pidfd_signal(int, int)
    int orch_pidfd_queue(int, int, int)


STARTED, EXITED, NOT_STARTED, CANCELLED = 1, 2, 3, 4

#: One event, and one record of the exit journal. `code` is 0..255, -signal, or with NOT_STARTED an errno whose
#: `stage` says which step failed. Times are wall clock. `crc` covers the bytes before it (0 in STARTED, CANCELLED).
EVENT = np.dtype([
    ("id", "<i8"), ("started_ms", "<i8"), ("at_ms", "<i8"), ("attempt", "<i4"), ("pid", "<i4"), ("user", "<u4"),
    ("cpu_ms", "<u4"), ("lost_bytes", "<u4"), ("code", "<i2"), ("what", "u1"), ("stage", "u1"), ("magic", "<u4"),
    ("crc", "<u4"),
])
EVENT_MAGIC = 0x3158524F


cdef char **_strings(items) except NULL:
    """A NULL-ended array of copies of bytes objects. Raises ValueError where one holds a NUL."""
    cdef Py_ssize_t n = len(items), i
    cdef char **out = <char **>calloc(n + 1, sizeof(char *))
    if out == NULL:
        raise MemoryError()
    try:
        for i in range(n):
            item = items[i]
            if b"\0" in item:
                raise ValueError(f"argument or environment entry {i} holds a NUL byte: {item!r}")
            out[i] = strdup(<const char *>item)
            if out[i] == NULL:
                raise MemoryError()
    except BaseException:
        _free_strings(out)
        raise
    return out


cdef void _free_strings(char **items) noexcept:
    cdef Py_ssize_t i = 0
    if items == NULL:
        return
    while items[i] != NULL:
        free(items[i])
        i += 1
    free(items)


def _check_sizes(groups, limits, cgroup_fds):
    if len(groups) > ORCH_MAX_GROUPS or len(limits) > ORCH_MAX_RLIMITS or len(cgroup_fds) > ORCH_MAX_CGROUPS:
        raise ValueError(f"at most {ORCH_MAX_GROUPS} groups, {ORCH_MAX_RLIMITS} limits and {ORCH_MAX_CGROUPS} cgroups; "
                         f"got {len(groups)}, {len(limits)} and {len(cgroup_fds)}")


cdef class Template:
    """What the rows of a batch have in common. Freed when the last row that uses it is done and this object is gone.

    argv, env: bytes. path: search path for argv[0]. sandbox_root, log_root: existing folders; instance 7 attempt 2 gets
    `<sandbox_root>/0/7-2` and logs `<log_root>/0/7-2.stdout`. uid, gid: -1 leaves them. limits: (resource, soft, hard),
    -1 for none. name: instances are called `<name>.<index>`. cgroup_fds: open `cgroup.procs`, duplicated here. mem_limit_kib: comes back in `Engine.running`. user: comes back in every event.
    """

    cdef orch_template *t

    def __cinit__(self, list argv not None, list env not None, bytes path not None, bytes sandbox_root not None,
                  bytes log_root not None, bytes name not None, *, int64_t uid=-1, int64_t gid=-1, groups=(), limits=(), cgroup_fds=(),
                  int mask=0o022, int64_t log_max_bytes=4 << 20, int64_t mem_limit_kib=0, uint32_t user=0):
        cdef orch_template *t
        cdef Py_ssize_t i
        _check_sizes(groups, limits, cgroup_fds)
        if not argv:
            raise ValueError("argv is empty: give at least the command")
        self.t = t = <orch_template *>calloc(1, sizeof(orch_template))
        if t == NULL:
            raise MemoryError()
        t.refs = 1
        t.argv = _strings(argv)
        t.env = _strings(env)
        t.env_len = len(env)
        t.env_key = <size_t *>calloc(len(env) + 1, sizeof(size_t))
        t.path = strdup(path)
        t.sandbox_root = strdup(sandbox_root)
        t.log_root = strdup(log_root)
        t.name = strdup(name)
        if t.env_key == NULL or t.path == NULL or t.sandbox_root == NULL or t.log_root == NULL or t.name == NULL:
            raise MemoryError()
        for i in range(t.env_len):
            t.env_key[i] = orch_env_key(t.env[i])
        t.uid, t.gid, t.mask, t.log_max_bytes, t.user = uid, gid, mask, log_max_bytes, user
        t.mem_limit_kib = mem_limit_kib
        for i in range(len(groups)):
            t.groups[i] = groups[i]
        t.ngroups = len(groups)
        for i in range(len(limits)):
            t.limits[i].resource = limits[i][0]
            t.limits[i].soft, t.limits[i].hard = <uint64_t><int64_t>limits[i][1], <uint64_t><int64_t>limits[i][2]
        t.nlimits = len(limits)
        for i in range(len(cgroup_fds)):
            t.cgroup_fds[i] = os.dup(cgroup_fds[i])
            t.ncgroups = i + 1

    def __dealloc__(self):
        if self.t != NULL:
            orch_template_drop(self.t)


cdef class Engine:
    """Launches, watches, logs and reaps rows of jobs on `workers` threads that never take the GIL.

    journal_fd: where exits are appended (EVENT records), or -1. `fileno()` is readable when `take()` has events.
    Thread safe. A Template must be used with one Engine only.
    """

    cdef orch_engine *e
    cdef int journal_fd

    def __cinit__(self, int workers=2, int journal_fd=-1):
        if not 1 <= workers <= 16:
            raise ValueError(f"workers is {workers}; between 1 and 16")
        self.journal_fd = -1
        if journal_fd >= 0:
            self.journal_fd = os.dup(journal_fd)
        self.e = orch_engine_new(workers, self.journal_fd)
        if self.e == NULL:
            raise OSError(errno, f"cannot start the process engine: {os.strerror(errno)}")

    def close(self):
        """Ends the threads, and with them every process of the engine: nobody would read its output any more."""
        cdef orch_engine *e = self.e
        self.e = NULL
        if e != NULL:
            with nogil:
                orch_engine_free(e)
        if self.journal_fd >= 0:
            close(self.journal_fd)
            self.journal_fd = -1

    def __dealloc__(self):
        if self.e != NULL:
            orch_engine_free(self.e)
        if self.journal_fd >= 0:
            close(self.journal_fd)

    cdef orch_engine *open(self) except NULL:
        if self.e == NULL:
            raise ValueError("the engine is closed")
        return self.e

    def fileno(self) -> int:
        """A descriptor that is readable when `take` would return events."""
        return self.open().notify

    @property
    def live(self) -> int:
        """Rows that wait or run."""
        cdef orch_engine *e = self.open()
        pthread_mutex_lock(&e.lock)
        cdef int64_t n = e.map_n
        pthread_mutex_unlock(&e.lock)
        return n

    @property
    def ended(self) -> int:
        """Ends among the events that were not taken yet."""
        cdef orch_engine *e = self.open()
        pthread_mutex_lock(&e.lock)
        cdef int64_t n = e.nended
        pthread_mutex_unlock(&e.lock)
        return n

    @property
    def queued(self) -> int:
        """Rows that wait for their turn."""
        cdef orch_engine *e = self.open()
        pthread_mutex_lock(&e.lock)
        cdef int64_t n = e.queued
        pthread_mutex_unlock(&e.lock)
        return n

    def running(self):
        """int64[k, 5]: id, attempt, pid, started_ms and the template's mem_limit_kib of what runs, in no order."""
        cdef orch_engine *e = self.open()
        cdef int64_t n = 0
        out = np.empty((self.live + 256, 5), np.int64)
        cdef int64_t[:, ::1] view = out
        with nogil:
            n = orch_engine_running(e, view.shape[0], &view[0, 0])
        return out[:n]

    def rotate(self, int journal_fd):
        """Exits go to this file from now on. Events that were taken before lie in the old one."""
        self.open()
        if self.journal_fd < 0:
            raise ValueError("the engine was started without a journal")
        os.dup2(journal_fd, self.journal_fd, inheritable=False)

    def launch(self, Template template not None, const int64_t[::1] ids, const int32_t[::1] attempts,
               const int64_t[::1] index, bytes env_blob=b"", const int64_t[::1] env_off=None):
        """Queues one launch per row. Returns None; what happens comes by `take`.

        ids int64[n], attempts int32[n], index int64[n] ($ORCH_INDEX). env_off int64[n+1]: row i adds the NUL-ended
        `NAME=value` entries env_blob[env_off[i]:env_off[i+1]], which win over the template's. Raises ValueError where
        lengths differ, or where an (id, attempt) is here already; nothing is queued then.
        """
        cdef orch_engine *e = self.open()
        cdef int64_t n = ids.shape[0], i, bad
        cdef const int64_t *offsets = NULL
        cdef const char *blob = env_blob
        if attempts.shape[0] != n or index.shape[0] != n or (env_off is not None and env_off.shape[0] != n + 1):
            raise ValueError("ids, attempts, index (n rows) and env_off (n + 1) differ in length")
        if n == 0:
            return
        if env_off is not None:
            if env_off[0] != 0 or env_off[n] != len(env_blob):
                raise ValueError("env_off must start at 0 and end at the length of env_blob")
            for i in range(n):
                if env_off[i + 1] < env_off[i] or env_off[i + 1] > env_off[n] or (
                        env_off[i + 1] > env_off[i] and blob[env_off[i + 1] - 1] != 0):
                    raise ValueError(f"row {i}: env_off goes back, or its entries do not end in NUL")
            offsets = &env_off[0]
        cdef orch_batch *b = orch_batch_new(template.t, n, &ids[0], &attempts[0], &index[0], offsets, blob)
        if b == NULL:
            raise MemoryError()
        with nogil:
            bad = orch_engine_launch(e, b)
        if bad != -1:
            b.t = NULL
            orch_batch_free(b)
            if bad == -2:
                raise MemoryError()
            raise ValueError(f"instance {ids[bad]} attempt {attempts[bad]} is here already")

    def kill(self, const int64_t[::1] ids, const int32_t[::1] attempts, int signal):
        """Signals the process group of each row. Returns uint8[n]: 0 not here, 1 signalled, 2 taken out of the queue
        (a CANCELLED event follows), 3 being started and signalled once it has."""
        cdef orch_engine *e = self.open()
        cdef int64_t n = ids.shape[0]
        if attempts.shape[0] != n:
            raise ValueError("ids and attempts differ in length")
        out = np.zeros(n, np.uint8)
        cdef uint8_t[::1] result = out
        if n:
            with nogil:
                orch_engine_kill(e, n, &ids[0], &attempts[0], signal, &result[0])
        return out

    def take(self):
        """All events since the last call, oldest first per row: an array of EVENT, maybe empty."""
        cdef orch_engine *e = self.open()
        cdef orch_event *events
        cdef int64_t n
        cdef uint64_t count
        pthread_mutex_lock(&e.lock)
        if e.notified:
            e.notified = 0
            if read(e.notify, &count, 8) < 0:
                count = 0
        events, n = e.events, e.nevents
        e.events, e.nevents, e.events_cap, e.nended = NULL, 0, 0, 0
        pthread_mutex_unlock(&e.lock)
        try:
            out = np.empty(n, EVENT)
            if n:
                _copy(out, events, n * sizeof(orch_event))
        finally:
            free(events)
        return out


cdef int _copy(out, void *source, size_t size) except -1:
    cdef uint8_t[::1] view = out.view(np.uint8)
    memcpy(&view[0], source, size)
    return 0


def crc(bytes data not None) -> int:
    """CRC-32 of a journal record's first 52 bytes, as the engine writes it (equal to zlib's)."""
    return orch_crc(<const char *>data, len(data))


def spawn(list argv not None, list env not None, bytes path not None, bytes cwd=None, *, int stdin=-1, int stdout=-1,
          int stderr=-1, int64_t uid=-1, int64_t gid=-1, groups=(), limits=(), cgroup_fds=(), int mask=0o022,
          bint new_session=True, int death_signal=0):
    """Starts one process, as Engine does a row. Returns (pid, pidfd, 0, 0), or (-1, -1, stage, errno) where it could not.

    A pidfd is the caller's to close; the pid is the caller's to reap. stdin -1 is /dev/null.
    """
    cdef orch_child c
    cdef gid_t group_ids[32]
    cdef orch_rlimit rlimits[8]
    cdef int fds[8]
    cdef pid_t pid
    cdef int i, pidfd
    _check_sizes(groups, limits, cgroup_fds)
    if not argv:
        raise ValueError("argv is empty: give at least the command")
    memset(&c, 0, sizeof(c))
    for i in range(len(groups)):
        group_ids[i] = groups[i]
    for i in range(len(limits)):
        rlimits[i].resource = limits[i][0]
        rlimits[i].soft, rlimits[i].hard = <uint64_t><int64_t>limits[i][1], <uint64_t><int64_t>limits[i][2]
    for i in range(len(cgroup_fds)):
        fds[i] = cgroup_fds[i]
    c.path = path
    c.cwd = NULL
    if cwd is not None:
        c.cwd = cwd
    c.in_fd, c.out_fd, c.err_fd = stdin, stdout, stderr
    c.uid, c.gid, c.mask, c.new_session, c.death_signal = uid, gid, mask, new_session, death_signal
    c.parent = os.getpid()
    c.ngroups, c.groups = len(groups), group_ids
    c.nlimits, c.limits = len(limits), rlimits
    c.ncgroups, c.cgroup_fds = len(cgroup_fds), fds
    try:
        c.argv = _strings(argv)
        c.env = _strings(env)
        with nogil:
            pid = orch_spawn(&c)
        if pid < 0:
            return -1, -1, c.stage, c.error
        pidfd = orch_pidfd_open(pid)
        if pidfd < 0:
            return pid, -1, 0, 0
        return pid, pidfd, 0, 0
    finally:
        _free_strings(c.argv)
        _free_strings(c.env)


def pidfd_signal(int pidfd, int signal, value=None) -> bool:
    """Signals the very process the pidfd holds. False when it has gone. value: an int that goes with it (SI_QUEUE)."""
    if value is None:
        return orch_pidfd_signal(pidfd, signal) == 0
    return orch_pidfd_queue(pidfd, signal, value) == 0
