//! The way in: bounded lanes, drained in a fixed order, so that new business never holds up a
//! cancel and nothing holds up the operator.

use std::sync::Arc;
use std::sync::OnceLock;

use crossbeam::queue::ArrayQueue;
use gavel_protocol::{AgentId, CapabilityId, Command, RejectReason, Request};

use crate::limits::{LANE_REQUESTS_MAX, NARROW_LANE_REQUESTS_MAX, QUERIES_MAX};
use crate::quarantine::Quarantine;

/// Where an answer goes: the edge's own numbers, which the core only carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The connection.
    pub connection: u64,
    /// The frame that is answered.
    pub session_seq: u64,
    /// Which part of it, if it was taken apart.
    pub part: Part,
}

/// A part of a mass quote, which takes its place in the order by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first line.
    pub first_line: u32,
    /// Whether it is the last part.
    pub last: bool,
}

impl Part {
    /// All of a frame.
    pub const WHOLE: Self = Self { first_line: 0, last: true };
}

/// A request on its way into the order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Where the answer goes; none for the exchange's own requests.
    pub origin: Option<Origin>,
    /// Whether to answer `Sequenced` before it is durable.
    pub sequenced_answer: bool,
    /// What is asked for.
    pub request: Request,
}

/// A query on its way to the core: it reads, and has no place in the order.
#[derive(Clone, Copy, Debug)]
pub struct QueryRequest {
    /// Where the answer goes.
    pub origin: Origin,
    /// Who asks.
    pub agent: AgentId,
    /// For what.
    pub kind: StateQuery,
}

/// What only the core can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateQuery {
    /// The agent's own state.
    Statement,
    /// A capability's book.
    Book(CapabilityId),
}

/// The lanes, in the order in which they are drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// The operator, the kill switch and the exchange itself.
    Operator,
    /// Cancels, deliveries, payouts: whatever reduces what is open.
    Unwind,
    /// Allocations that solvers propose.
    Proposals,
    /// Everything else.
    Business,
}

impl Lane {
    /// Every lane, in the order in which they are drained.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Unwind, Self::Proposals, Self::Business];

    /// Returns how many requests it holds.
    const fn requests_max(self) -> usize {
        match self {
            Self::Operator | Self::Proposals => NARROW_LANE_REQUESTS_MAX,
            Self::Unwind | Self::Business => LANE_REQUESTS_MAX,
        }
    }

    /// Returns the lane that a command takes.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::EnrolAccount(_)
            | Command::EnrolAgent(_)
            | Command::ListCapability(_)
            | Command::Deposit(_)
            | Command::SetPriceBand(_)
            | Command::Halt(_)
            | Command::Reopen(_)
            | Command::Found(_)
            | Command::AdvanceTime(_)
            | Command::Resume(_)
            | Command::Upgrade(_) => Self::Operator,
            Command::CancelRfq(_)
            | Command::CancelQuote(_)
            | Command::CancelStandingQuote(_)
            | Command::DeclineRfq(_)
            | Command::StartWork(_)
            | Command::Deliver(_)
            | Command::AcceptDelivery(_) => Self::Unwind,
            Command::ProposeAllocation(_) => Self::Proposals,
            Command::OpenRfq(_)
            | Command::PlaceQuote(_)
            | Command::QuoteBundles(_)
            | Command::AmendQuote(_)
            | Command::SetStandingQuote(_)
            | Command::MassQuote(_)
            | Command::TakeRfq(_)
            | Command::PickQuote(_)
            // Before the quotes that it allows, which come the same way.
            | Command::SignEnvelope(_)
            | Command::Logon(_)
            // Not before the quotes that they are to take: what came after them would stay.
            | Command::MassCancel(_)
            | Command::SessionLost(_) => Self::Business,
        }
    }
}

/// The producer's end of the lanes: cheap to clone, never waits.
#[derive(Clone)]
pub struct Inbox {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: [ArrayQueue<Submission>; Lane::ALL.len()],
    queries: ArrayQueue<QueryRequest>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
    quarantine: OnceLock<Quarantine>,
}

impl Inbox {
    /// Makes empty lanes that nobody drains yet.
    pub fn new() -> Self {
        let shared = Shared {
            lanes: Lane::ALL.map(|lane| ArrayQueue::new(lane.requests_max())),
            queries: ArrayQueue::new(QUERIES_MAX),
            wake: OnceLock::new(),
            quarantine: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a request into its lane. The core learns of it at the next [`Inbox::wake`].
    ///
    /// # Errors
    ///
    /// [`RejectReason::Busy`] if the lane is full, [`RejectReason::Quarantined`] if the request once
    /// broke the core.
    pub fn submit(&self, submission: Submission) -> Result<(), RejectReason> {
        if self.quarantine().is_some_and(|quarantine| quarantine.refuses(&submission.request)) {
            return Err(RejectReason::Quarantined);
        }
        let lane = Lane::of(&submission.request.command);
        self.shared.lanes[lane as usize].push(submission).map_err(|_| RejectReason::Busy)
    }

    /// Puts a query into its queue. The core learns of it at the next [`Inbox::wake`].
    ///
    /// # Errors
    ///
    /// [`RejectReason::Busy`] if the queue is full.
    pub fn query(&self, query: QueryRequest) -> Result<(), RejectReason> {
        self.shared.queries.push(query).map_err(|_| RejectReason::Busy)
    }

    /// Tells the core that something came. Call it once after a group of submissions.
    pub fn wake(&self) {
        if let Some(wake) = self.shared.wake.get() {
            wake();
        }
    }

    /// Sets what [`Inbox::wake`] does; the first call decides.
    pub(crate) fn on_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        if self.shared.wake.set(Box::new(wake)).is_err() {
            tracing::debug!("the inbox already has a core");
        }
    }

    /// Sets which requests are refused; the first call decides.
    pub(crate) fn set_quarantine(&self, quarantine: Quarantine) {
        if self.shared.quarantine.set(quarantine).is_err() {
            tracing::debug!("the inbox already has a core");
        }
    }

    /// Returns which requests are refused, if that was set.
    pub(crate) fn quarantine(&self) -> Option<&Quarantine> {
        self.shared.quarantine.get()
    }

    /// Takes the next request: from the first lane that has one.
    pub(crate) fn next_submission(&self) -> Option<Submission> {
        self.shared.lanes.iter().find_map(ArrayQueue::pop)
    }

    /// Takes the next query.
    pub(crate) fn next_query(&self) -> Option<QueryRequest> {
        self.shared.queries.pop()
    }

    /// Returns whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.lanes.iter().all(ArrayQueue::is_empty) && self.shared.queries.is_empty()
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}
