//! Counts what happens to all synthetic agents together, and how long it takes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gavel_client::CommandError;
use gavel_protocol::RejectReason;
use hdrhistogram::Histogram;

use super::report::{Latencies, Percentiles, Progress};
use crate::limits::LATENCY_NS_MAX;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    /// From the time a quote or standing update was due to its durable answer.
    QuoteAck,
    /// From the time an RFQ was due to its durable answer.
    RfqAck,
    /// From the time an RFQ of window zero was due to its award.
    WindowZeroAward,
    /// From the time that something was due to its sending: how late the load itself is.
    Sending,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// RFQs that were opened.
    pub(crate) rfqs: u64,
    /// Quotes that competed in RFQs that have ended.
    pub(crate) quotes: u64,
    /// RFQs that were awarded.
    pub(crate) awards: u64,
    /// Contracts that were paid.
    pub(crate) contracts_settled: u64,
    /// Contracts that were not delivered in time.
    pub(crate) contracts_expired: u64,
    /// Commands that were answered `Accepted`.
    pub(crate) acknowledged: u64,
    /// Commands whose answer never came.
    pub(crate) unanswered: u64,
    /// Times that events could not be had any more and the state was asked for instead.
    pub(crate) resyncs: u64,
    /// Deliverables that were fetched and are what was announced.
    pub(crate) blobs_checked: u64,
    /// Blobs that could not be stored or fetched, or are not what was announced.
    pub(crate) blobs_failed: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally {
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    began: Instant,
    ended: Option<Instant>,
    counts: Counts,
    rejected: BTreeMap<RejectReason, u64>,
    quote_ack: Histogram<u64>,
    rfq_ack: Histogram<u64>,
    window_zero_award: Histogram<u64>,
    sending: Histogram<u64>,
}

impl Tally {
    /// Begins to count.
    pub(crate) fn new() -> Self {
        let state = State {
            began: Instant::now(),
            ended: None,
            counts: Counts::default(),
            rejected: BTreeMap::new(),
            quote_ack: histogram(),
            rfq_ack: histogram(),
            window_zero_award: histogram(),
            sending: histogram(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Trading begins at `began`.
    pub(crate) fn begin(&self, began: Instant) {
        self.state().began = began;
    }

    /// Nothing new is sent from now on.
    pub(crate) fn end(&self) {
        self.state().ended.get_or_insert_with(Instant::now);
    }

    /// Counts something.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// Counts that a command was not answered `Accepted`.
    pub(crate) fn refused(&self, error: &CommandError) {
        let mut state = self.state();
        match error.reason() {
            Some(reason) => *state.rejected.entry(reason).or_default() += 1,
            None => state.counts.unanswered += 1,
        }
    }

    /// Measures the time between two instants.
    pub(crate) fn measure(&self, latency: Latency, from: Instant, to: Instant) {
        let nanos = to.saturating_duration_since(from).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let mut state = self.state();
        let histogram = match latency {
            Latency::QuoteAck => &mut state.quote_ack,
            Latency::RfqAck => &mut state.rfq_ack,
            Latency::WindowZeroAward => &mut state.window_zero_award,
            Latency::Sending => &mut state.sending,
        };
        histogram.saturating_record(nanos);
    }

    /// Returns everything so far. Reconnects and lost acknowledgements are counted elsewhere.
    pub(crate) fn progress(&self, reconnects: u64, acks_lost: u64) -> Progress {
        // A copy, so that nobody waits while the percentiles are counted out.
        let state = self.state().clone();
        let Counts {
            rfqs,
            quotes,
            awards,
            contracts_settled,
            contracts_expired,
            acknowledged,
            unanswered,
            resyncs,
            blobs_checked,
            blobs_failed,
        } = state.counts;
        let name = |reason: &RejectReason| reason.info().name;
        Progress {
            seconds: state.ended.unwrap_or_else(Instant::now).duration_since(state.began),
            rfqs,
            quotes,
            awards,
            contracts_settled,
            contracts_expired,
            rejected: state.rejected.iter().map(|(reason, n)| (name(reason), *n)).collect(),
            reconnects,
            resyncs,
            acknowledged,
            acks_lost,
            unanswered,
            blobs_checked,
            blobs_failed,
            latency_ns: Latencies {
                quote_ack: percentiles(&state.quote_ack),
                rfq_ack: percentiles(&state.rfq_ack),
                window0_award: percentiles(&state.window_zero_award),
                sending: percentiles(&state.sending),
            },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn histogram() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
    made.expect("1 is above zero, the upper bound is at least twice it, and 3 digits are allowed")
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    Percentiles {
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
        count: histogram.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_client::ClientError;
    use gavel_protocol::RejectedAnswer;
    use std::time::Duration;

    #[test]
    fn a_latency_counts_from_when_it_was_due() {
        let tally = Tally::new();
        let due = Instant::now();
        for millis in 1..=1_000 {
            tally.measure(Latency::RfqAck, due, due + Duration::from_millis(millis));
        }
        let Percentiles { p50, p99, p999, max, count } = tally.progress(0, 0).latency_ns.rfq_ack;
        let is_near = |nanos: u64, millis: u64| nanos.abs_diff(millis * 1_000_000) < 1_000_000;
        assert!(is_near(p50, 500) && is_near(p99, 990) && is_near(p999, 999), "{p50} {p99} {p999}");
        assert!(is_near(max, 1_000) && count == 1_000);
    }

    #[test]
    fn rejects_are_counted_by_reason_and_lost_answers_apart() {
        let tally = Tally::new();
        let busy = CommandError::Rejected(RejectedAnswer::of(RejectReason::Busy));
        tally.refused(&busy);
        tally.refused(&busy);
        tally.refused(&CommandError::Connection(ClientError::LoggedOut));
        let progress = tally.progress(3, 4);
        assert_eq!(progress.rejected, [("Busy", 2)].into());
        assert_eq!((progress.unanswered, progress.reconnects, progress.acks_lost), (1, 3, 4));
    }

    #[test]
    fn the_time_of_trading_ends_with_it() {
        let tally = Tally::new();
        let began = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        tally.begin(began);
        tally.end();
        let seconds = tally.progress(0, 0).seconds;
        assert!(seconds >= Duration::from_secs(5));
        assert_eq!(tally.progress(0, 0).seconds, seconds);
    }
}
