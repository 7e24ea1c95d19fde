import numpy as np
from numpy.typing import NDArray

_Int32 = NDArray[np.int32]
_Int64 = NDArray[np.int64]
_UInt8 = NDArray[np.uint8]

LANES: int
SCORE_BITS: int
SCORE_MOST: int
WHY_ROW: int
WHY_AGENTS: int
WHY_FEASIBLE: int
WHY_EMPTY: int
WHY_ROOM: int
WHY_NEAREST: int
WHY_PREDICATE: int
WHY_NEAREST_FREE: int
WHY_REASON: int
WHY_RULED: int
WHY_MOST: int
WHY_TOTAL: int
WHY_SHORT: int
WHY_LEFT: int
WHY_WIDTH: int
WHY_ONLY: int
WHY_ONLY_FREE: int
PREDICATE_CONSTRAINT: int
PREDICATE_RULE: int
PREDICATE_RESOURCE: int
RULES_MOST: int
COUNTERS_MOST: int
OPERATOR_MAX: int
OPERATOR_LEAST: int
OPERATOR_SAME: int
OPERATOR_SOME: int
PATH_WALK: int
PATH_EVEN: int
PATH_EACH: int
SCAN_MOST: int

def choose_scan(kind: int) -> int: ...

class RuleTable:
    def __init__(
        self,
        codes: _Int32,
        attribute: _Int32,
        counts: _Int32,
        first: _Int64,
        rule_first: _Int64,
        rules: _Int32,
        counted_first: _Int64,
        counted: _Int32,
        preferred_first: _Int64,
        preferred: _Int32,
        path: _UInt8,
    ) -> None: ...
    def uncount(self, shape: _Int32, agent: _Int32, offset: _Int64, placed: _Int64) -> None: ...

class Index:
    dims: int
    rows: int
    clock: int
    nbytes: int
    def __init__(self, dims: int) -> None: ...
    def grow(self, rows: int) -> None: ...
    def put(self, rows: _Int32, free_: _Int32, total: _Int32, usable: _UInt8) -> None: ...
    def columns(self) -> tuple[_Int32, _Int32, _UInt8]: ...
    def frees(self, rows: _Int32) -> _Int32: ...
    def totals(self, rows: _Int32) -> _Int32: ...
    def sizes(self, requests: _Int32) -> _Int64: ...
    def sequence(self, shape: _Int32, priority: _Int32, requests: _Int32) -> _Int64: ...
    def match(
        self,
        sequence: _Int64,
        shape: _Int32,
        count: _Int32,
        gang: _Int32,
        offset: _Int64,
        requests: _Int32,
        mask_row: _Int32,
        allowed: _UInt8,
        policy: _UInt8,
        headroom: _Int64 | None,
        agent: _Int32,
        placed: _Int64,
        why: _Int32,
        rules: RuleTable | None = None,
        held_rows: _Int32 | None = None,
        held: _Int32 | None = None,
    ) -> int: ...
    def hold(self, rows: _Int32, amounts: _Int32, sign: int) -> _Int32: ...
    def explain(
        self,
        request: _Int32,
        mask: _UInt8 | None,
        gang: int,
        why: _Int32,
        rules: RuleTable | None = None,
        shape: int = 0,
        held_rows: _Int32 | None = None,
        held: _Int32 | None = None,
    ) -> None: ...
    def give_back(
        self, agent: _Int32, offset: _Int64, placed: _Int64, shape: _Int32, requests: _Int32, since: int
    ) -> None: ...

def commit(
    agent: _Int32,
    shape: _Int32,
    requests: _Int32,
    session: _Int64,
    gang: _Int32,
    group: _Int32,
    free_: _Int32,
    usable: _UInt8,
    current: _Int64,
    ancestors: _Int32,
    used: _Int64,
    limit: _Int64,
    verdict: _UInt8,
) -> None: ...
def release(
    agent: _Int32,
    shape: _Int32,
    requests: _Int32,
    group: _Int32,
    free_: _Int32,
    total: _Int32,
    ancestors: _Int32,
    used: _Int64,
) -> int: ...
def bucket(values: _Int32, bins: int) -> tuple[_Int64, _Int64]: ...
def count(shape: _Int32, shapes: int) -> _Int32 | None: ...
def deal(shape: _Int32, offset: _Int64, row: _Int32, out: _Int32) -> None: ...
