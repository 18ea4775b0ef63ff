//! A batch: requests in their order, and what followed from each.

use gavel_exchange::Events;
use gavel_protocol::{Book, Event, PosedBundle, Ranked, RejectReason, Stamped, Statement};

use crate::inbox::Origin;
use crate::limits::{BATCH_EVENTS_MAX, BATCH_REQUESTS_MAX};

/// Requests in their order, and what followed from each. Reused: the core allocates none.
#[derive(Debug, Default)]
pub struct Batch {
    /// The requests.
    pub steps: Vec<Step>,
    /// Their events, one after the other.
    pub events: Vec<Event>,
    /// The ranked lists of the closes among the events, one after the other.
    pub ranking: Vec<Ranked>,
    /// The bundles of problems among the events, one after the other.
    pub posed: Vec<PosedBundle>,
    /// Answers to queries, as of the end of this batch.
    pub query_answers: Vec<(Origin, QueryAnswer)>,
}

/// What a query was answered.
#[derive(Clone, Debug)]
pub enum QueryAnswer {
    /// The agent's state.
    Statement(Box<Statement>),
    /// A capability's book.
    Book(Box<Book>),
    /// There is no such thing.
    Rejected(RejectReason),
}

/// One request of a batch.
#[derive(Debug)]
pub struct Step {
    /// The request, its place and its time.
    pub stamped: Stamped,
    /// Where the answer goes.
    pub origin: Option<Origin>,
    /// Where its events end in the batch's list; they begin where those of the step before end.
    pub events_end: usize,
    /// Where its ranked entries end in the batch's list.
    pub ranking_end: usize,
    /// Where its posed bundles end in the batch's list.
    pub posed_end: usize,
}

/// A step with its events.
#[derive(Clone, Copy, Debug)]
pub struct StepView<'a> {
    /// The request, its place and its time.
    pub stamped: &'a Stamped,
    /// Where the answer goes.
    pub origin: Option<Origin>,
    /// What followed; the first one is the outcome.
    pub events: &'a [Event],
    /// The ranked lists of the closes among the events, one after the other.
    pub ranking: &'a [Ranked],
    /// The bundles of problems among the events, one after the other.
    pub posed: &'a [PosedBundle],
}

impl Batch {
    /// Makes an empty batch with room for so much.
    pub(crate) fn with_capacity(requests: usize, events: usize) -> Self {
        Self {
            steps: Vec::with_capacity(requests),
            events: Vec::with_capacity(events),
            ranking: Vec::with_capacity(events),
            posed: Vec::new(),
            query_answers: Vec::new(),
        }
    }

    /// Returns whether it takes another request.
    pub(crate) fn has_room(&self) -> bool {
        self.steps.len() < BATCH_REQUESTS_MAX
            && self.events.len() < BATCH_EVENTS_MAX
            && self.ranking.len() < BATCH_EVENTS_MAX
            && self.posed.len() < BATCH_EVENTS_MAX
    }

    /// Returns where the exchange puts what follows from the next request.
    pub fn out(&mut self) -> Events<'_> {
        let Self { events, ranking, posed, .. } = self;
        Events { events, ranking, posed }
    }

    /// Ends the step of a request: what has been put out since the last one followed from it.
    pub fn end_step(&mut self, stamped: Stamped, origin: Option<Origin>) {
        self.steps.push(Step {
            stamped,
            origin,
            events_end: self.events.len(),
            ranking_end: self.ranking.len(),
            posed_end: self.posed.len(),
        });
    }

    /// Returns the place of the last request, if there is one.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.steps.last().map(|step| step.stamped.seq)
    }

    /// Returns the steps with their events.
    pub fn steps(&self) -> impl Iterator<Item = StepView<'_>> {
        let (mut event, mut ranked, mut posed) = (0, 0, 0);
        self.steps.iter().map(move |step| {
            let view = StepView {
                stamped: &step.stamped,
                origin: step.origin,
                events: &self.events[event..step.events_end],
                ranking: &self.ranking[ranked..step.ranking_end],
                posed: &self.posed[posed..step.posed_end],
            };
            (event, ranked) = (step.events_end, step.ranking_end);
            posed = step.posed_end;
            view
        })
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.events.clear();
        self.ranking.clear();
        self.posed.clear();
        self.query_answers.clear();
    }

    /// Returns whether there is neither a request nor an answer in it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.query_answers.is_empty()
    }
}

impl<'a> StepView<'a> {
    /// Returns each event with the ranked list that belongs to it (empty unless it is a close).
    pub fn events_with_ranking(&self) -> impl Iterator<Item = (&'a Event, &'a [Ranked])> {
        let mut rest = self.ranking;
        self.events.iter().map(move |event| {
            let (ranking, after) = rest.split_at(event.ranked());
            rest = after;
            (event, ranking)
        })
    }
}
