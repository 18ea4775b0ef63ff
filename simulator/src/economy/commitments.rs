//! How much of its capacity each provider has promised, by capacity period.

use std::collections::HashMap;

/// Jobs that providers are committed to. A firm quote is a promise until it has lost.
#[derive(Debug, Default)]
pub(super) struct Commitments {
    jobs: HashMap<(usize, u64), u32>,
}

impl Commitments {
    /// Commits a provider to a job of a period; returns false if its capacity does not allow it.
    pub(super) fn commit(&mut self, provider: usize, period: u64, capacity: u32) -> bool {
        let jobs = self.jobs.entry((provider, period)).or_default();
        let has_room = *jobs < capacity;
        *jobs += u32::from(has_room);
        has_room
    }

    /// Releases a provider from a job that it was committed to.
    pub(super) fn release(&mut self, provider: usize, period: u64) {
        let jobs = self.jobs.entry((provider, period)).or_default();
        *jobs = jobs.checked_sub(1).expect("invariant: nobody is released who was not committed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_per_provider_and_period_and_comes_back() {
        let mut commitments = Commitments::default();
        assert!(commitments.commit(1, 0, 1));
        assert!(!commitments.commit(1, 0, 1));
        assert!(commitments.commit(2, 0, 1));
        assert!(commitments.commit(1, 1, 1));
        commitments.release(1, 0);
        assert!(commitments.commit(1, 0, 1));
    }
}
