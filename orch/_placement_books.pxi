# The master's books: accepted rows are charged one after the other, and given back. Included by _placement.pyx.
# The columns are the master's own, changed in place; `orch/placement/commit.py` checks them and says what they are.

def commit(const int32_t[::1] agent, const int32_t[::1] shape, const int32_t[:, ::1] requests,
           const int64_t[::1] session, const int32_t[::1] gang, const int32_t[::1] group,
           int32_t[:, :] free_, const uint8_t[::1] usable, const int64_t[::1] current,
           const int32_t[:, ::1] ancestors, int64_t[:, :] used, const int64_t[:, ::1] limit, uint8_t[::1] verdict):
    """Commit accepted rows one after the other; see `orch.placement.commit`. gang: -1 or 0 <= id < k."""
    cdef int64_t i, j, k = agent.shape[0]
    cdef int32_t g
    cdef uint8_t why
    # Of each gang, its last committed row; of each row, the one of its gang before it: the undo log.
    cdef int64_t[::1] last = np.full(k, -1, np.int64)
    cdef int64_t[::1] before = np.full(k, -1, np.int64)
    cdef uint8_t[::1] broken = np.zeros(k, np.uint8)
    with nogil:
        for i in range(k):
            g = gang[i]
            why = _verdict(agent[i], shape[i], requests, session[i], group[i], free_, usable, current, ancestors,
                           used, limit)
            if g >= 0 and broken[g]:
                verdict[i] = why if why != ORCH_PLACED else ORCH_GANG
                continue
            verdict[i] = why
            if why == ORCH_PLACED:
                _charge(agent[i], shape[i], requests, group[i], free_, ancestors, used, 1)
                if g >= 0:
                    before[i] = last[g]
                    last[g] = i
            elif g >= 0:
                broken[g] = 1
                j = last[g]
                while j >= 0:
                    _charge(agent[j], shape[j], requests, group[j], free_, ancestors, used, -1)
                    verdict[j] = ORCH_GANG
                    j = before[j]


cdef uint8_t _verdict(int32_t agent, int32_t shape, const int32_t[:, ::1] requests, int64_t session, int32_t group,
                      int32_t[:, :] free_, const uint8_t[::1] usable, const int64_t[::1] current,
                      const int32_t[:, ::1] ancestors, int64_t[:, :] used,
                      const int64_t[:, ::1] limit) noexcept nogil:
    cdef int64_t a, g
    cdef int d
    if agent < 0 or agent >= free_.shape[0]:
        return ORCH_UNKNOWN_AGENT
    if session != current[agent]:
        return ORCH_STALE_SESSION
    if usable[agent] != 1:  # 2: it is draining
        return ORCH_NOT_USABLE
    for d in range(requests.shape[1]):
        if free_[agent, d] < requests[shape, d]:
            return ORCH_TOO_FEW + d
    if group >= 0:
        for a in range(-1, ancestors.shape[1]):
            g = group if a < 0 else ancestors[group, a]
            if g < 0:
                break
            for d in range(requests.shape[1]):
                if limit[g, d] >= 0 and requests[shape, d] > 0 and used[g, d] + requests[shape, d] > limit[g, d]:
                    return ORCH_QUOTA
    return ORCH_PLACED


cdef void _charge(int32_t agent, int32_t shape, const int32_t[:, ::1] requests, int32_t group, int32_t[:, :] free_,
                  const int32_t[:, ::1] ancestors, int64_t[:, :] used, int sign) noexcept nogil:
    """Take one pod's resources (sign 1), or give them back (-1). The group itself pays once, listed or not."""
    cdef int64_t a, g
    cdef int d
    for d in range(requests.shape[1]):
        free_[agent, d] -= sign * requests[shape, d]
    if group < 0:
        return
    for a in range(-1, ancestors.shape[1]):
        g = group if a < 0 else ancestors[group, a]
        if g < 0:
            break
        if a >= 0 and g == group:
            continue
        for d in range(requests.shape[1]):
            used[g, d] += sign * requests[shape, d]


def release(const int32_t[::1] agent, const int32_t[::1] shape, const int32_t[:, ::1] requests,
            const int32_t[::1] group, int32_t[:, :] free_, const int32_t[:, :] total,
            const int32_t[:, ::1] ancestors, int64_t[:, :] used):
    """Give back rows (agent -1: nothing held). Returns -1, or the first row that gives back more than was taken: then nothing changed."""
    cdef int64_t i, j, bad = -1, k = agent.shape[0]
    with nogil:
        for i in range(k):
            if agent[i] < 0:
                continue
            if not _held(agent[i], shape[i], requests, group[i], free_, total, ancestors, used):
                bad = i
                break
            _charge(agent[i], shape[i], requests, group[i], free_, ancestors, used, -1)
        if bad >= 0:
            for j in range(bad):
                if agent[j] >= 0:
                    _charge(agent[j], shape[j], requests, group[j], free_, ancestors, used, 1)
    return bad


cdef bint _held(int32_t agent, int32_t shape, const int32_t[:, ::1] requests, int32_t group, int32_t[:, :] free_,
                const int32_t[:, :] total, const int32_t[:, ::1] ancestors, int64_t[:, :] used) noexcept nogil:
    cdef int64_t a, g
    cdef int d
    for d in range(requests.shape[1]):
        if requests[shape, d] > <int64_t>total[agent, d] - free_[agent, d]:
            return False
    if group >= 0:
        for a in range(-1, ancestors.shape[1]):
            g = group if a < 0 else ancestors[group, a]
            if g < 0:
                break
            for d in range(requests.shape[1]):
                if used[g, d] < requests[shape, d]:
                    return False
    return True


def bucket(const int32_t[::1] values, int64_t bins):
    """A stable counting sort: (order int64[P], start int64[bins + 1]); order[start[b]:start[b + 1]] are the rows of b.

    Values below 0 are left out. O(P + bins).
    """
    cdef int64_t i, b, at, n = values.shape[0], kept = 0, size
    starts = np.zeros(bins + 1, np.int64)
    cdef int64_t[::1] start = starts
    with nogil:
        for i in range(n):
            if values[i] >= 0:
                start[values[i]] += 1
                kept += 1
        at = 0
        for b in range(bins + 1):
            size = start[b]
            start[b] = at
            at += size
    rows = np.empty(kept, np.int64)
    cdef int64_t[::1] order = rows
    cdef int64_t[::1] next_ = starts.copy()
    with nogil:
        for i in range(n):
            if values[i] >= 0:
                order[next_[values[i]]] = i
                next_[values[i]] += 1
    return rows, starts


cdef extern from "_placement_deal.h" nogil:
    const int ORCH_COUNTERS
    int orch_count(const int32_t* shape, int64_t pods, int64_t shapes, int32_t* counts)
    void orch_deal(const int32_t* shape, int64_t pods, int64_t* next_, const int32_t* row, int32_t* out)


def count(const int32_t[::1] shape, int64_t shapes):
    """int32[S]: how many pods have each shape; None where an id is not in [0, S)."""
    several = np.zeros((ORCH_COUNTERS, max(shapes, 1)), np.int32)
    cdef int32_t[:, ::1] counts = several
    cdef int bad = 0
    if shape.shape[0] > 0:
        with nogil:
            bad = orch_count(&shape[0], shape.shape[0], shapes, &counts[0, 0])
    return None if bad else several.sum(axis=0, dtype=np.int32)[:shapes]


def deal(const int32_t[::1] shape, const int64_t[::1] offset, const int32_t[::1] row, int32_t[::1] out):
    """out[i] = the next of row[offset[shape[i]]:], pod by pod. shape: ids within offset."""
    starts = np.array(offset)
    cdef int64_t[::1] next_ = starts
    if shape.shape[0] > 0:
        with nogil:
            orch_deal(&shape[0], shape.shape[0], &next_[0], &row[0], &out[0])
