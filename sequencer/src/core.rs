//! The one writer: takes requests from the inbox in order, stamps and applies them.
//!
//! It has no thread and reads no clock; whoever runs it says what time it is.

use gavel_exchange::{Events, Exchange};
use gavel_protocol::{AdvanceTime, AgentId, Command, RejectReason, Request, Stamped, TimestampNs};

use crate::batch::{Batch, QueryAnswer, Step};
use crate::inbox::{Inbox, QueryRequest, StateQuery, Submission};
use crate::limits::BATCH_QUERIES_MAX;
use crate::publish::Consumer;

/// The exchange and the inbox that it drains.
pub(crate) struct Core {
    exchange: Exchange,
    inbox: Inbox,
}

impl Core {
    /// Makes a core that continues `exchange`.
    pub(crate) fn new(exchange: Exchange, inbox: Inbox) -> Self {
        Self { exchange, inbox }
    }

    /// Applies what is due at `now` and what waits in the inbox, up to a batch.
    pub(crate) fn fill(&mut self, now: TimestampNs, batch: &mut Batch, consumer: &dyn Consumer) {
        // A clock that went back stands still until it has caught up.
        let ts_event = now.max(self.exchange.now());
        while batch.has_room() {
            if self.exchange.is_due(ts_event) {
                let command = Command::AdvanceTime(AdvanceTime {});
                let request = Request { agent: AgentId::EXCHANGE, command };
                self.apply(
                    Submission { origin: None, sequenced_answer: false, request },
                    ts_event,
                    batch,
                );
                continue;
            }
            let Some(submission) = self.inbox.next_submission() else { break };
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
        !self.inbox.is_empty() || self.exchange.is_due(now.max(self.exchange.now()))
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

    fn apply(&mut self, submission: Submission, ts_event: TimestampNs, batch: &mut Batch) {
        let Submission { origin, request, .. } = submission;
        let stamped = Stamped { seq: self.exchange.seq() + 1, ts_event, request };
        let mut out = Events { events: &mut batch.events, ranking: &mut batch.ranking };
        self.exchange.apply(&stamped, &mut out);
        let (events_end, ranking_end) = (batch.events.len(), batch.ranking.len());
        batch.steps.push(Step { stamped, origin, events_end, ranking_end });
    }
}
