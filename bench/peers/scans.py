"""Best fit by plain scans: what one would write first, in numpy and in Python. Same answers as the kernel's.

A scan stops at `seconds` and says how many pods it had placed: its rate is told of those.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from orch import _placement as kernel

Int32 = NDArray[np.int32]
LOOK_EVERY = 64


def order(total: Int32, requests: Int32, shape: Int32) -> NDArray[np.int64]:
    """int64[P]: the pods, larger ones first; of equal shapes the lower id, of equal pods the earlier one."""
    largest = total.max(axis=0).astype(np.int64)
    size = (np.minimum(requests, largest) * weights(total)).sum(axis=1) >> kernel.SCORE_BITS
    ranks = np.empty(len(requests), np.int64)
    ranks[np.argsort(-size, kind="stable")] = np.arange(len(requests))
    return np.argsort(ranks[shape], kind="stable")


def weights(total: Int32) -> NDArray[np.int64]:
    """int64[R]: a unit of each resource in parts of the largest agent."""
    return (kernel.SCORE_MOST << kernel.SCORE_BITS) // np.maximum(total.max(axis=0).astype(np.int64), 1)


def by_numpy(total: Int32, requests: Int32, shape: Int32, seconds: float = 30.0) -> tuple[Int32, int, float]:
    """(agent int32[P] with -1 for those not reached, pods reached, seconds taken): one vectorised look a pod."""
    free = total.astype(np.int64)
    weight = weights(total)
    score = (free * weight).sum(axis=1) >> kernel.SCORE_BITS
    agent = np.full(len(shape), -1, np.int32)
    begun = time.perf_counter()
    done = 0
    for pod in order(total, requests, shape).tolist():
        if done % LOOK_EVERY == 0 and time.perf_counter() - begun > seconds:
            break
        done += 1
        request = requests[shape[pod]]
        able = np.flatnonzero((free >= request).all(axis=1))
        if len(able) == 0:
            continue
        best = int(able[np.argmin(score[able])])
        free[best] -= request
        score[best] = int((free[best] * weight).sum()) >> kernel.SCORE_BITS
        agent[pod] = best
    return agent, done, time.perf_counter() - begun


def by_python(total: Int32, requests: Int32, shape: Int32, seconds: float = 30.0) -> tuple[Int32, int, float]:
    """The same with lists and ints."""
    free = total.tolist()
    asked = requests.tolist()
    weight = weights(total).tolist()
    score = [sum(f * w for f, w in zip(row, weight, strict=True)) >> kernel.SCORE_BITS for row in free]
    agent = np.full(len(shape), -1, np.int32)
    begun = time.perf_counter()
    done = 0
    for pod in order(total, requests, shape).tolist():
        if done % LOOK_EVERY == 0 and time.perf_counter() - begun > seconds:
            break
        done += 1
        request = asked[shape[pod]]
        best, least = -1, 1 << 62
        for row, have in enumerate(free):
            if score[row] < least and all(h >= r for h, r in zip(have, request, strict=True)):
                best, least = row, score[row]
        if best < 0:
            continue
        have = free[best] = [h - r for h, r in zip(free[best], request, strict=True)]
        score[best] = sum(h * w for h, w in zip(have, weight, strict=True)) >> kernel.SCORE_BITS
        agent[pod] = best
    return agent, done, time.perf_counter() - begun
