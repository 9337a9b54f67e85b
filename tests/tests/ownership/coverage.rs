//! What a run has shown.

/// What was seen in a run, so that nothing ceases to be simulated.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) started: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) reasserted: u64,
    pub(crate) held: u64,
    pub(crate) kept_off: u64,
    /// Leases of Redis's length that an owner went on without it.
    pub(crate) without_redis: u64,
    pub(crate) travelled: u64,
    pub(crate) over: u64,
    pub(crate) released: u64,
    pub(crate) drained: u64,
    /// Released for a node that is to be next.
    pub(crate) kept_for_next: u64,
    /// Moved in peace to where they should be.
    pub(crate) moved: u64,
    pub(crate) doubled_by_an_old_copy: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.reasserted += other.reasserted;
        self.held += other.held;
        self.kept_off += other.kept_off;
        self.without_redis += other.without_redis;
        self.travelled += other.travelled;
        self.over += other.over;
        self.released += other.released;
        self.drained += other.drained;
        self.kept_for_next += other.kept_for_next;
        self.moved += other.moved;
        self.doubled_by_an_old_copy += other.doubled_by_an_old_copy;
    }

    pub(crate) fn is_whole(&self) -> bool {
        let seen = [self.started, self.accepted, self.refused, self.reasserted, self.travelled];
        let held = [self.held, self.without_redis];
        let more = [self.over, self.released, self.doubled_by_an_old_copy];
        let moved = [self.drained, self.kept_for_next, self.moved];
        seen.iter().chain(&held).chain(&more).chain(&moved).all(|count| *count > 0)
    }
}
