//! The problems of combinatorial RFQs on their way to solvers: to the exchange's own, and by the
//! stream of problems to those from outside, where the RFQ admits them. None leaves before its close
//! is durable.

use std::collections::HashMap;
use std::sync::Mutex;

use gavel_protocol::{
    BundleTerms, BundlesPosed, ClearingStarted, PosedBundle, Problem, ProblemPosed, RfqId,
};
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::lock::lock;

/// Solves problems, beside everything else.
pub trait Solvers: Send + Sync {
    /// Takes a problem. Called on the journal's thread: it must not wait.
    fn pose(&self, problem: Problem);

    /// The RFQ is decided: its problem needs no answer any more.
    fn forget(&self, rfq: RfqId);
}

/// The combinatorial RFQs that are open, and the exchange's own solvers.
#[derive(Default)]
pub(crate) struct Problems(Mutex<State>);

#[derive(Default)]
struct State {
    open: HashMap<RfqId, Pending, FxBuildHasher>,
    solvers: Option<Box<dyn Solvers>>,
}

/// A combinatorial RFQ, and as much of its problem as there is.
#[derive(Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Pending {
    terms: Box<BundleTerms>,
    bundles: Vec<PosedBundle>,
    /// The problem, if it came out before there were solvers.
    posed: Option<ProblemPosed>,
}

impl std::fmt::Debug for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Problems").field(&lock(&self.0).open.len()).finish()
    }
}

impl Problems {
    /// Lets `solvers` solve the problems, those first that are out already.
    pub fn set_solvers(&self, solvers: Box<dyn Solvers>) {
        let mut state = lock(&self.0);
        for pending in state.open.values_mut() {
            if let Some(posed) = pending.posed.take() {
                let bundles = std::mem::take(&mut pending.bundles);
                solvers.pose(Problem { posed, bundles });
            }
        }
        state.solvers = Some(solvers);
    }

    /// Returns everything that the exchange's own solvers have not taken, by RFQ.
    pub fn saved(&self) -> Vec<(RfqId, Pending)> {
        let state = lock(&self.0);
        let mut open: Vec<_> = state.open.iter().map(|(id, rfq)| (*id, rfq.clone())).collect();
        open.sort_unstable_by_key(|(id, _)| *id);
        open
    }

    /// Puts in what was saved, in place of what there is.
    pub fn restore(&self, saved: Vec<(RfqId, Pending)>) {
        lock(&self.0).open = saved.into_iter().collect();
    }

    pub fn opened(&self, rfq: RfqId, terms: &BundleTerms) {
        let pending = Pending { terms: Box::new(terms.clone()), bundles: Vec::new(), posed: None };
        lock(&self.0).open.insert(rfq, pending);
    }

    /// Adds bundles to a problem. Returns whether solvers from outside may see them.
    pub fn add(&self, posed: &BundlesPosed, bundles: &[PosedBundle]) -> bool {
        let mut state = lock(&self.0);
        let Some(pending) = state.open.get_mut(&posed.rfq) else { return false };
        // It may be posed anew, because quotes have expired.
        pending.bundles.truncate(posed.first as usize);
        pending.bundles.extend_from_slice(bundles);
        pending.terms.external_solvers
    }

    /// Takes the news that a problem is out, and passes it to the exchange's own solvers. Returns what
    /// those from outside get, if they may.
    pub fn started(&self, started: &ClearingStarted) -> Option<ProblemPosed> {
        let mut state = lock(&self.0);
        let State { open, solvers } = &mut *state;
        let pending = open.get_mut(&started.rfq)?;
        let posed = ProblemPosed::of(&pending.terms, started)?;
        match solvers {
            Some(solvers) => {
                let bundles = std::mem::take(&mut pending.bundles);
                solvers.pose(Problem { posed: posed.clone(), bundles });
            }
            None => pending.posed = Some(posed.clone()),
        }
        pending.terms.external_solvers.then_some(posed)
    }

    pub fn closed(&self, rfq: RfqId) {
        let mut state = lock(&self.0);
        if state.open.remove(&rfq).is_some()
            && let Some(solvers) = &state.solvers
        {
            solvers.forget(rfq);
        }
    }
}
