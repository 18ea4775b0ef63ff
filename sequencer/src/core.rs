//! The one writer: takes requests from the inbox in order, stamps and applies them.
//!
//! It has no thread and reads no clock; whoever runs it says what time it is.

use std::collections::VecDeque;

use gavel_exchange::Exchange;
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{
    AdvanceTime, AgentId, Bug, ClientId, Command, Event, Halt, Halted, RejectReason, Reopen,
    Reopened, Request, Stamped, TimestampNs,
};

use crate::batch::{Batch, QueryAnswer};
use crate::clock::{Clock, Now, Turn};
use crate::inbox::{Inbox, QueryRequest, StateQuery, Submission};
use crate::limits::{BATCH_QUERIES_MAX, CLOCK_LOOK_EVERY};
use crate::publish::Consumer;
use crate::quarantine::Applying;

/// The exchange and the inbox that it drains.
pub(crate) struct Core {
    exchange: Exchange,
    inbox: Inbox,
    /// Taken from the inbox and shown to the exchange, but not applied yet.
    next: VecDeque<Submission>,
    clock: Clock,
    /// Whether new business is halted because the clock has jumped, and for no other reason.
    has_halted: bool,
    /// What a turn of the clock asks for: after what is due, before what waits in the inbox.
    of_clock: Option<Command>,
}

impl Core {
    /// Makes a core that continues `exchange`.
    pub(crate) fn new(exchange: Exchange, inbox: Inbox) -> Self {
        let next = VecDeque::with_capacity(LOOK_AHEAD_MAX);
        let (clock, has_halted, of_clock) = (Clock::default(), false, None);
        Self { exchange, inbox, next, clock, has_halted, of_clock }
    }

    /// Applies what is due at `now` and what waits in the inbox, up to a batch.
    pub(crate) fn fill(&mut self, now: Now, batch: &mut Batch, consumer: &dyn Consumer) {
        if let Some(turn) = self.clock.look(now) {
            self.take_turn(turn);
        }
        let ts_event = self.ts_event(now);
        while batch.has_room() {
            let may_be_late = Bug::DeadlineAfterCommand.is_planted() && batch.steps.is_empty();
            if self.exchange.is_due(ts_event) && !may_be_late {
                let command = Command::AdvanceTime(AdvanceTime {});
                self.apply(own(command), ts_event, batch);
                continue;
            }
            if let Some(command) = self.of_clock.take() {
                self.apply(own(command), ts_event, batch);
                continue;
            }
            let Some(submission) = self.next_submission() else { break };
            if let Some(origin) = submission.origin.filter(|_| submission.sequenced_answer) {
                consumer.sequenced(origin, ts_event);
            }
            self.apply(submission, ts_event, batch);
        }
        while batch.query_answers.len() < BATCH_QUERIES_MAX {
            let Some(query) = self.inbox.next_query() else { break };
            let answer = self.answer(query, ts_event);
            batch.query_answers.push((query.origin, answer));
        }
    }

    fn answer(&mut self, query: QueryRequest, ts_event: TimestampNs) -> QueryAnswer {
        match query.kind {
            StateQuery::Statement => match self.exchange.statement(query.agent, ts_event) {
                Some(statement) => QueryAnswer::Statement(Box::new(statement)),
                None => QueryAnswer::Rejected(RejectReason::UnknownAgent),
            },
            StateQuery::Book(capability) => match self.exchange.book(capability) {
                Ok(book) => QueryAnswer::Book(Box::new(book)),
                Err(reason) => QueryAnswer::Rejected(reason),
            },
        }
    }

    /// Applies requests of the exchange itself, before anything of the inbox.
    pub(crate) fn begin(&mut self, commands: Vec<Command>, now: Now, batch: &mut Batch) {
        self.clock.look(now);
        let ts_event = self.ts_event(now);
        for command in commands {
            self.apply(own(command), ts_event, batch);
        }
    }

    /// Returns when to look again at the latest, on the wall clock.
    pub(crate) fn next_look(&self, now: Now) -> Option<TimestampNs> {
        match self.clock.has_jumped() {
            true => Some(now.wall.after(CLOCK_LOOK_EVERY)),
            false => self.exchange.next_deadline(),
        }
    }

    /// Returns whether there is something to do at `now`.
    pub(crate) fn has_work(&self, now: Now) -> bool {
        !self.next.is_empty()
            || !self.inbox.is_empty()
            || self.of_clock.is_some()
            || self.clock.turn(now).is_some()
            || self.exchange.is_due(self.ts_event(now))
    }

    /// Returns whether time stands still because the clock has jumped.
    pub(crate) fn has_clock_jumped(&self) -> bool {
        self.clock.has_jumped()
    }

    /// Returns sequenced time: it stands still while the clock is behind it, or not believed.
    fn ts_event(&self, now: Now) -> TimestampNs {
        self.clock.time(now).max(self.exchange.now())
    }

    /// Halts new business when the clock jumps, and ends that when it comes back.
    fn take_turn(&mut self, turn: Turn) {
        let (now, seq) = (self.exchange.now(), self.exchange.seq());
        let client_id = ClientId::from_parts(now, u128::from(seq));
        match turn {
            Turn::Jumped(by) => {
                let by_s = by.nanos() / 1_000_000_000;
                tracing::error!(
                    by_s,
                    "the clock has jumped ahead: new business is halted and time stands still until \
                     it comes back or the operator confirms it with `gavel reopen`"
                );
                self.has_halted = !self.exchange.is_halted();
                if self.has_halted {
                    self.of_clock = Some(Command::Halt(Halt { client_id, capability: None }));
                }
            }
            Turn::CameBack => {
                tracing::warn!("the clock has come back");
                if std::mem::take(&mut self.has_halted) {
                    self.of_clock = Some(Command::Reopen(Reopen { client_id, capability: None }));
                }
            }
        }
    }

    /// Sees what an operator's command means for a clock that has jumped.
    fn observe(&mut self, stamped: &Stamped, outcome: Option<&Event>) {
        if stamped.request.agent == AgentId::EXCHANGE {
            return;
        }
        match outcome {
            Some(Event::Reopened(Reopened { capability: None })) => {
                tracing::warn!("the clock's jump is confirmed");
                self.clock.confirm();
                self.has_halted = false;
            }
            // The operator wants it halted, whatever the clock does.
            Some(Event::Halted(Halted { capability: None })) => self.has_halted = false,
            Some(_) | None => {}
        }
    }

    /// Returns the exchange.
    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Returns the exchange, when there is nothing left to do.
    pub(crate) fn into_exchange(self) -> Exchange {
        self.exchange
    }

    /// Returns the inbox.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Takes the next request. They are taken a few at a time, so that the exchange can look ahead;
    /// what comes into a higher lane meanwhile is no more than these few late.
    fn next_submission(&mut self) -> Option<Submission> {
        if self.next.is_empty() {
            let inbox = &self.inbox;
            self.next.extend((0..LOOK_AHEAD_MAX).map_while(|_| inbox.next_submission()));
            self.exchange.look_ahead(self.next.iter().map(|submission| &submission.request));
        }
        self.next.pop_front()
    }

    fn apply(&mut self, submission: Submission, ts_event: TimestampNs, batch: &mut Batch) {
        let Submission { origin, request, .. } = submission;
        let stamped = Stamped { seq: self.exchange.seq() + 1, ts_event, request };
        let first = batch.events.len();
        {
            let _watch =
                Applying { request: &stamped.request, quarantine: self.inbox.quarantine() };
            self.exchange.apply(&stamped, &mut batch.out());
        }
        if self.clock.has_jumped() {
            self.observe(&stamped, batch.events.get(first));
        }
        batch.end_step(stamped, origin);
    }
}

/// Returns a submission of the exchange's own.
fn own(command: Command) -> Submission {
    let request = Request { agent: AgentId::EXCHANGE, command };
    Submission { origin: None, sequenced_answer: false, request }
}
