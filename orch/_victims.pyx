# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Whose place a pod of higher priority takes: columns in, agents and victims out.

Called only by `orch.placement`, which checks what comes in; every answer equals that of the plain search in
`orch/placement/reference_victims.py`. Rows are looked at one after the other. All agents are priced once for each run
of equal rows, and lie in a heap; what is taken on one changes the price of that one only.

The fewest victims that cover several resources at once is a set cover: a search in the order of the candidates that
leaves a branch where even the largest ones left would not do. STEPS of it settle any eight candidates; where they do not
settle whether so many victims are enough, a greedy choice is taken.
"""

import numpy as np

from libc.stdint cimport INT32_MIN, int32_t, int64_t, uint8_t

cdef enum:
    LANES = 8
cdef int STEPS = 256
cdef int NONE_FITS = -1
cdef int GAVE_UP = -2


cdef class Stage:
    """The books while places are taken: everything that a choice changes, and can be undone.

    avail int64[N, R]: free, less what is owed. start int64[N + 1] and row int64[V]: the candidates of each agent. used
    int64[G, R]: what groups will use once those have ended that are being stopped.
    """

    cdef int64_t[:, ::1] avail, used
    cdef const uint8_t[::1] usable
    cdef const int64_t[::1] start, age
    cdef int64_t[::1] row
    cdef uint8_t[::1] arranged
    cdef const int32_t[::1] priority, group
    cdef const int32_t[:, ::1] request, ancestors
    cdef const int64_t[:, ::1] guarantee, limit
    cdef const uint8_t[::1] guarded
    cdef int32_t[::1] taken
    cdef int64_t[::1] candidate, pick, stack
    cdef int64_t[:, ::1] largest
    cdef int64_t dims, agents, picks, levels
    cdef bint quota, tight
    cdef int32_t highest

    def __init__(self, avail, usable, start, row, priority, age, request, group, ancestors, used, guarantee, limit):
        most = int(np.diff(start).max(initial=0))
        self.avail, self.usable, self.start, self.row = avail, usable, start, row
        self.priority, self.age, self.request, self.group = priority, age, request, group
        self.ancestors, self.used, self.guarantee, self.limit = ancestors, used, guarantee, limit
        guarded = np.asarray(guarantee).any(axis=1)
        self.guarded = guarded.astype(np.uint8)
        self.quota = bool(guarded.any() or (np.asarray(limit) >= 0).any())
        self.agents, self.dims, self.levels = avail.shape[0], avail.shape[1], ancestors.shape[1]
        self.arranged = np.zeros(self.agents, np.uint8)
        self.taken = np.full(len(priority), -1, np.int32)
        self.candidate = np.empty(most + 1, np.int64)
        self.pick = np.empty(most + 1, np.int64)
        self.stack = np.empty(most + 1, np.int64)
        self.largest = np.empty((most + 1, LANES), np.int64)

    cdef void arrange(self, int64_t agent) noexcept nogil:
        """Sort an agent's candidates, once: lowest priority first, then the youngest, then as they came."""
        cdef int64_t i, j, v, first = self.start[agent], stop = self.start[agent + 1]
        if self.arranged[agent]:
            return
        self.arranged[agent] = 1
        for i in range(first + 1, stop):
            v = self.row[i]
            j = i
            while j > first and self.before(v, self.row[j - 1]):
                self.row[j] = self.row[j - 1]
                j -= 1
            self.row[j] = v

    cdef bint before(self, int64_t one, int64_t other) noexcept nogil:
        if self.priority[one] != self.priority[other]:
            return self.priority[one] < self.priority[other]
        if self.age[one] != self.age[other]:
            return self.age[one] < self.age[other]
        return one < other

    cdef bint below(self, int64_t group, int64_t top) noexcept nogil:
        """Whether a group is `top`, or under it."""
        cdef int64_t a
        if group == top:
            return True
        for a in range(self.levels):
            if group < 0 or self.ancestors[group, a] < 0:
                return False
            if self.ancestors[group, a] == top:
                return True
        return False

    cdef bint spared(self, int64_t victim, int64_t group) noexcept nogil:
        """Whether a guarantee keeps this one where it is: of a group that is not above the pod that wants its place."""
        cdef int64_t a, d, g = self.group[victim]
        for a in range(-1, self.levels):
            g = self.group[victim] if a < 0 else self.ancestors[self.group[victim], a]
            if g < 0:
                return False
            if not self.guarded[g] or self.below(group, g):
                continue
            for d in range(self.dims):
                if self.request[victim, d] > 0 and self.guarantee[g, d] > 0:
                    if self.used[g, d] - self.request[victim, d] < self.guarantee[g, d]:
                        return True
        return False

    cdef void charge(self, int64_t group, const int32_t* amount, int sign) noexcept nogil:
        """What a group and all above it use becomes more (sign 1) or less (-1)."""
        cdef int64_t a, d, g
        for a in range(-1, self.levels):
            g = group if a < 0 else self.ancestors[group, a]
            if g < 0:
                return
            for d in range(self.dims):
                self.used[g, d] += sign * amount[d]

    cdef int64_t over(self, int64_t group, const int32_t* want, int64_t* need) noexcept nogil:
        """Raise `need` to what the limits above a pod lack; the lowest group that lacks something, or -1."""
        cdef int64_t a, d, g, lowest = -1, lacks
        for a in range(-1, self.levels):
            g = group if a < 0 else self.ancestors[group, a]
            if g < 0:
                break
            for d in range(self.dims):
                if self.limit[g, d] >= 0 and want[d] > 0:
                    lacks = self.used[g, d] + want[d] - self.limit[g, d]
                    if lacks > 0:
                        need[d] = max(need[d], lacks)
                        if lowest < 0:
                            lowest = g
        return lowest

    cdef int64_t price(self, int64_t agent, const int32_t* want, int32_t priority, int64_t group) noexcept nogil:
        """How many victims a pod costs on an agent, in `pick`, the highest priority among them in `highest`; or -1."""
        cdef int64_t need[LANES]
        cdef int64_t sums[LANES]
        cdef int64_t d, i, v, m = 0, found, within = -1
        cdef bint lacks = False, helps
        for d in range(self.dims):
            need[d] = max(<int64_t>want[d] - self.avail[agent, d], 0) if want[d] > 0 else 0
            sums[d] = 0
        if self.quota:
            within = self.over(group, want, need)
            self.tight |= within >= 0
        for d in range(self.dims):
            lacks |= need[d] > 0
        self.highest, self.picks = INT32_MIN, 0
        if not lacks:
            return 0
        self.arrange(agent)
        for i in range(self.start[agent], self.start[agent + 1]):
            v = self.row[i]
            if self.priority[v] >= priority:
                break
            helps = False
            for d in range(self.dims):
                helps |= need[d] > 0 and self.request[v, d] > 0
            if self.taken[v] >= 0 or not helps or (within >= 0 and not self.below(self.group[v], within)):
                continue
            if self.quota and self.spared(v, group):
                continue
            if m and self.priority[v] != self.highest and self.covers(sums, need):
                found = self.choose(m, need, group)
                if found >= 0:
                    return found
            self.candidate[m] = v
            self.highest = self.priority[v]
            for d in range(self.dims):
                sums[d] += self.request[v, d]
            m += 1
        if m and self.covers(sums, need):
            return self.choose(m, need, group)
        return NONE_FITS

    cdef bint covers(self, const int64_t* sums, const int64_t* need) noexcept nogil:
        cdef int64_t d
        for d in range(self.dims):
            if sums[d] < need[d]:
                return False
        return True

    cdef int64_t choose(self, int64_t m, const int64_t* need, int64_t group) noexcept nogil:
        """The fewest of the first m candidates that cover the need, the first such set in their order; or -1."""
        cdef int64_t d, i, k, least = 1, steps = 0, found
        for d in range(self.dims):
            self.largest[m, d] = 0
        for i in range(m - 1, -1, -1):
            for d in range(self.dims):
                self.largest[i, d] = max(self.largest[i + 1, d], <int64_t>self.request[self.candidate[i], d])
        for d in range(self.dims):
            if need[d] > 0:
                least = max(least, (need[d] + self.largest[0, d] - 1) // self.largest[0, d])
        for k in range(least, m + 1):
            steps = 0
            found = self.search(m, k, need, group, &steps)
            if found == GAVE_UP:
                return self.greedy(m, need, group)
            if found >= 0:
                return found
        return NONE_FITS

    cdef int64_t search(self, int64_t m, int64_t k, const int64_t* need, int64_t group, int64_t* steps) noexcept nogil:
        """The first set of k candidates in their order that covers the need; -1 if there is none."""
        cdef int64_t left[LANES]
        cdef int64_t d, depth = 0, i = 0, v
        cdef bint goes, result = False
        for d in range(self.dims):
            left[d] = need[d]
        while True:
            goes = False
            if depth < k:
                while i <= m - (k - depth) and self.may_do(left, k - depth, i):
                    steps[0] += 1
                    v = self.candidate[i]
                    if not (self.quota and self.spared(v, group)):
                        self.pick[depth], self.stack[depth] = v, i
                        self.put(v, left, -1)
                        depth += 1
                        i += 1
                        goes = True
                        break
                    i += 1
            elif self.may_do(left, 0, m):
                result = True
                break
            if steps[0] > STEPS:
                break
            if not goes:
                if depth == 0:
                    break
                depth -= 1
                i = self.stack[depth]
                self.put(self.pick[depth], left, 1)
                i = self.unlike(i, m)
        for i in range(depth):
            self.put(self.pick[i], left, 1)
        if result:
            self.picks = k
            return k
        return GAVE_UP if steps[0] > STEPS else NONE_FITS

    cdef bint may_do(self, const int64_t* left, int64_t pods, int64_t i) noexcept nogil:
        """Whether so many pods as large as the largest from i on would cover what is left."""
        cdef int64_t d
        for d in range(self.dims):
            if left[d] > pods * self.largest[i, d]:
                return False
        return True

    cdef void put(self, int64_t victim, int64_t* left, int sign) noexcept nogil:
        cdef int64_t d
        for d in range(self.dims):
            left[d] += sign * <int64_t>self.request[victim, d]
        if self.quota:
            self.charge(self.group[victim], &self.request[victim, 0], sign)

    cdef int64_t unlike(self, int64_t i, int64_t m) noexcept nogil:
        """The next candidate after i that is another one: what failed with i fails with its likes."""
        cdef int64_t d, one = self.candidate[i], other
        cdef bint same = True
        while same and i < m:
            i += 1
            if i == m:
                break
            other = self.candidate[i]
            same = self.group[one] == self.group[other]
            for d in range(self.dims):
                same &= self.request[one, d] == self.request[other, d]
        return i

    cdef int64_t greedy(self, int64_t m, const int64_t* need, int64_t group) noexcept nogil:
        """Those that give the most of what is still needed, one after the other; then without those not needed."""
        cdef int64_t left[LANES]
        cdef int64_t d, i, best, worth, most, count = 0
        for d in range(self.dims):
            left[d] = need[d]
        for i in range(m):
            self.stack[i] = 0
        while not self.may_do(left, 0, m):
            best, most = -1, 0
            for i in range(m):
                if self.stack[i] or (self.quota and self.spared(self.candidate[i], group)):
                    continue
                worth = 0
                for d in range(self.dims):
                    if left[d] > 0:
                        worth += min(left[d], <int64_t>self.request[self.candidate[i], d]) * 1024 // need[d]
                if worth > most or best < 0:
                    best, most = i, worth
            if best < 0:
                break
            self.stack[best] = 1
            self.put(self.candidate[best], left, -1)
        if self.may_do(left, 0, m):
            for i in range(m - 1, -1, -1):
                if self.stack[i]:
                    self.put(self.candidate[i], left, 1)
                    if self.may_do(left, 0, m):
                        self.stack[i] = 0
                    else:
                        self.put(self.candidate[i], left, -1)
            for i in range(m):
                if self.stack[i]:
                    self.pick[count] = self.candidate[i]
                    count += 1
        else:
            count = NONE_FITS
        for i in range(m):
            if self.stack[i]:
                self.put(self.candidate[i], left, 1)
        self.picks = max(count, 0)
        return count

    cdef void take(self, int64_t agent, const int32_t* want, int64_t group, int32_t pod) noexcept nogil:
        """The pod lies on the agent, and those in `pick` do not any more."""
        cdef int64_t d, i, v
        for i in range(self.picks):
            v = self.pick[i]
            self.taken[v] = pod
            for d in range(self.dims):
                self.avail[agent, d] += self.request[v, d]
            self.charge(self.group[v], &self.request[v, 0], -1)
        for d in range(self.dims):
            self.avail[agent, d] -= want[d]
        self.charge(group, want, 1)

    cdef void give_back(self, int64_t agent, const int32_t* want, int64_t group, int32_t pod) noexcept nogil:
        """The pod is not there after all."""
        cdef int64_t d, i, v
        for i in range(self.start[agent], self.start[agent + 1]):
            v = self.row[i]
            if self.taken[v] == pod:
                self.taken[v] = -1
                for d in range(self.dims):
                    self.avail[agent, d] -= self.request[v, d]
                self.charge(self.group[v], &self.request[v, 0], 1)
        for d in range(self.dims):
            self.avail[agent, d] += want[d]
        self.charge(group, want, -1)


cdef void _sift(int64_t[::1] key, int64_t[::1] agent, int64_t count, int64_t i) noexcept nogil:
    """Let the entry at i sink to its place. Smallest key first, then the lowest agent."""
    cdef int64_t child, k = key[i], a = agent[i]
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and (key[child + 1] < key[child]
                                  or (key[child + 1] == key[child] and agent[child + 1] < agent[child])):
            child += 1
        if key[child] > k or (key[child] == k and agent[child] > a):
            break
        key[i], agent[i] = key[child], agent[child]
        i = child
    key[i], agent[i] = k, a


cdef int64_t _key(Stage stage, int64_t count) noexcept nogil:
    """The highest priority among the victims first, then their number."""
    return <int64_t>stage.highest * (<int64_t>1 << 31) + min(count, <int64_t>0x7FFFFFFF)  # no shift: it may be negative


def take_places(Stage stage, int32_t[::1] agent, const int32_t[::1] shape, const int32_t[:, ::1] requests,
                const int32_t[::1] priority, const int32_t[::1] group, const int32_t[::1] gang,
                uint8_t[::1] verdict, int no_victims, int in_gang):
    """Take places for rows one after the other; see `orch.placement.take_places`. Rows with a verdict are left out.

    agent: -1: on any. gang: -1 or 0 <= id < k. Returns int32[V]: for which row each candidate gives way, -1: it stays.
    """
    cdef int64_t i, j, n, found, a = 0, size = 0, k = agent.shape[0]
    cdef int32_t g
    cdef bint fresh = True
    cdef int64_t[::1] key = np.empty(stage.agents, np.int64)
    cdef int64_t[::1] heap = np.empty(stage.agents, np.int64)
    cdef int64_t[::1] last = np.full(k, -1, np.int64)
    cdef int64_t[::1] before = np.full(k, -1, np.int64)
    cdef uint8_t[::1] broken = np.zeros(k, np.uint8)
    cdef uint8_t[::1] open_ = (np.asarray(agent) < 0).astype(np.uint8)
    cdef const int32_t* want
    with nogil:
        for i in range(k):
            g = gang[i]
            if verdict[i] == 0 and g >= 0 and broken[g]:
                verdict[i] = in_gang
            want = &requests[shape[i], 0]
            found = NONE_FITS
            if verdict[i] == 0 and not open_[i]:
                a = agent[i]
                found = stage.price(a, want, priority[i], group[i])
                fresh = True
            elif verdict[i] == 0:
                fresh |= (i == 0 or shape[i] != shape[i - 1] or priority[i] != priority[i - 1]
                          or group[i] != group[i - 1] or stage.tight)
                if fresh:
                    stage.tight = False
                    size = 0
                    for a in range(stage.agents):
                        if stage.usable[a] == 1:
                            n = stage.price(a, want, priority[i], group[i])
                            if n >= 0:
                                key[size], heap[size] = _key(stage, n), a
                                size += 1
                    for j in range(size // 2 - 1, -1, -1):
                        _sift(key, heap, size, j)
                    fresh = False
                while size:
                    a = heap[0]
                    n = stage.price(a, want, priority[i], group[i])
                    if n >= 0 and _key(stage, n) == key[0]:
                        found = n
                        break
                    if n >= 0:
                        key[0] = _key(stage, n)
                    else:
                        size -= 1
                        key[0], heap[0] = key[size], heap[size]
                    _sift(key, heap, size, 0)
            if found >= 0:
                stage.take(a, want, group[i], i)
                agent[i] = a
                if g >= 0:
                    before[i] = last[g]
                    last[g] = i
                if open_[i]:
                    n = stage.price(a, want, priority[i], group[i])
                    if n >= 0:
                        key[0] = _key(stage, n)
                    else:
                        size -= 1
                        key[0], heap[0] = key[size], heap[size]
                    if size:
                        _sift(key, heap, size, 0)
                continue
            if verdict[i] == 0:
                verdict[i] = no_victims
            if g >= 0 and not broken[g]:
                broken[g] = 1
                j = last[g]
                while j >= 0:
                    stage.give_back(agent[j], &requests[shape[j], 0], group[j], j)
                    verdict[j] = in_gang
                    j = before[j]
                fresh = True
    return np.asarray(stage.taken)
