//! The one writer: takes requests from the inbox in order, stamps and applies them.
//!
//! It has no thread and reads no clock; whoever runs it says what time it is.

use std::collections::VecDeque;

use gavel_exchange::Exchange;
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{
    AdvanceTime, AgentId, Bug, Command, RejectReason, Request, Stamped, TimestampNs,
};

use crate::batch::{Batch, QueryAnswer};
use crate::inbox::{Inbox, QueryRequest, StateQuery, Submission};
use crate::limits::BATCH_QUERIES_MAX;
use crate::publish::Consumer;

/// The exchange and the inbox that it drains.
pub(crate) struct Core {
    exchange: Exchange,
    inbox: Inbox,
    /// Taken from the inbox and shown to the exchange, but not applied yet.
    next: VecDeque<Submission>,
}

impl Core {
    /// Makes a core that continues `exchange`.
    pub(crate) fn new(exchange: Exchange, inbox: Inbox) -> Self {
        Self { exchange, inbox, next: VecDeque::with_capacity(LOOK_AHEAD_MAX) }
    }

    /// Applies what is due at `now` and what waits in the inbox, up to a batch.
    pub(crate) fn fill(&mut self, now: TimestampNs, batch: &mut Batch, consumer: &dyn Consumer) {
        // A clock that went back stands still until it has caught up.
        let ts_event = now.max(self.exchange.now());
        while batch.has_room() {
            let may_be_late = Bug::DeadlineAfterCommand.is_planted() && batch.steps.is_empty();
            if self.exchange.is_due(ts_event) && !may_be_late {
                let command = Command::AdvanceTime(AdvanceTime {});
                let request = Request { agent: AgentId::EXCHANGE, command };
                self.apply(
                    Submission { origin: None, sequenced_answer: false, request },
                    ts_event,
                    batch,
                );
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

    /// Applies a request of the exchange itself, before anything of the inbox.
    pub(crate) fn begin(&mut self, request: Request, now: TimestampNs, batch: &mut Batch) {
        let ts_event = now.max(self.exchange.now());
        self.apply(Submission { origin: None, sequenced_answer: false, request }, ts_event, batch);
    }

    /// Returns when something will be due.
    pub(crate) fn next_deadline(&self) -> Option<TimestampNs> {
        self.exchange.next_deadline()
    }

    /// Returns whether there is something to do at `now`.
    pub(crate) fn has_work(&self, now: TimestampNs) -> bool {
        !self.next.is_empty()
            || !self.inbox.is_empty()
            || self.exchange.is_due(now.max(self.exchange.now()))
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
        let mut out = batch.out();
        self.exchange.apply(&stamped, &mut out);
        batch.end_step(stamped, origin);
    }
}
