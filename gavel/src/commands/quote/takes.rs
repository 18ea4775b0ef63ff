//! Dutch RFQs that wait until their price has come to what the provider wants.

use std::future::pending;
use std::time::Duration;

use anyhow::Context as _;
use gavel_client::Client;
use gavel_protocol::{AgentId, DurationNs, Micros, RfqAnnounced, TimestampNs};
use tokio::time::{Instant, sleep_until};

use super::dutch::reaches;

/// Takes that are planned at a time. An RFQ that comes on top is let go.
const PLANNED_MAX: usize = 1_024;

/// Where the curve says that the price is there and the exchange says that it is not, a halt has
/// stopped the clock: it is tried again after this part of the window.
const RETRIES_PER_WINDOW: u64 = 100;

/// The shortest pause before the same take is tried again.
const RETRY_PAUSE_MIN: DurationNs = DurationNs::from_millis(10);

/// The exchange's clock, as it was when it was last asked.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    ts_event: TimestampNs,
    asked: Instant,
}

/// Takes that are planned.
#[derive(Debug, Default)]
pub struct Takes {
    planned: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    due: Instant,
    announced: RfqAnnounced,
}

impl Clock {
    /// Asks the exchange what time it is.
    pub async fn of(client: &Client) -> anyhow::Result<Self> {
        let statement = client.statement().await.context("cannot ask what time it is")?;
        Ok(Self { ts_event: statement.ts_event, asked: Instant::now() })
    }

    /// Returns the exchange's time.
    pub fn now(&self) -> TimestampNs {
        let since = u64::try_from(self.asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.ts_event.after(DurationNs::from_nanos(since))
    }

    /// Returns when the exchange's clock will show `time`.
    fn at(&self, time: TimestampNs) -> Instant {
        self.asked + Duration::from_nanos(time.since(self.ts_event).nanos())
    }
}

impl Takes {
    /// Plans to take a Dutch RFQ as soon as its price has come to `limit`; says when, or why not.
    pub fn plan(
        &mut self,
        announced: RfqAnnounced,
        me: AgentId,
        limit: Micros,
        clock: &Clock,
    ) -> String {
        let rfq = announced.rfq;
        let Some(time) = due(&announced, me, limit) else {
            return format!("{rfq} never comes to {limit}");
        };
        if self.planned.len() == PLANNED_MAX {
            return format!("{rfq} is let go: {PLANNED_MAX} others wait");
        }
        self.planned.push(Planned { due: clock.at(time), announced });
        let wait = Duration::from_nanos(time.since(clock.now()).nanos());
        format!("{rfq} comes to {limit} in {:.1} s", wait.as_secs_f64())
    }

    /// Plans again to take an RFQ that could not be taken yet.
    pub fn plan_again(
        &mut self,
        announced: RfqAnnounced,
        me: AgentId,
        limit: Micros,
        clock: &Clock,
    ) {
        let Some(time) = due(&announced, me, limit) else { return };
        let part = DurationNs::from_nanos(announced.terms.window.nanos() / RETRIES_PER_WINDOW);
        let time = match time > clock.now() {
            true => time,
            false => clock.now().after(part.max(RETRY_PAUSE_MIN)),
        };
        self.planned.push(Planned { due: clock.at(time), announced });
    }

    /// Waits until the next one is due, for ever if none is planned.
    pub async fn due(&self) {
        match self.planned.iter().map(|planned| planned.due).min() {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    /// Takes the one off the plan that is due first.
    pub fn next(&mut self) -> Option<RfqAnnounced> {
        let first = (0..self.planned.len()).min_by_key(|&index| self.planned[index].due)?;
        Some(self.planned.swap_remove(first).announced)
    }
}

/// Returns when the price comes to `limit`, on the exchange's clock and if no halt stops it.
fn due(announced: &RfqAnnounced, me: AgentId, limit: Micros) -> Option<TimestampNs> {
    let opened_at = announced.closes_at.before(announced.terms.window);
    let after = reaches(announced.dutch.as_ref()?, me, limit)?;
    Some(opened_at.after(after))
}
