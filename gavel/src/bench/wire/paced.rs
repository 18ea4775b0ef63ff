//! Standing-quote updates at a rate of their own, open loop: whether the exchange is slow or not,
//! the next ones come, and each waits from the time at which it should have been sent.

use std::collections::VecDeque;
use std::future::pending;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gavel_client::Pending;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bench::latency::Latencies;
use crate::bench::wire::CONNECTIONS;
use crate::bench::wire::market::{Market, Quoter};

/// The parts of the measured maximum that are offered.
pub const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// Sessions take turns: once per tick one of them sends what is due.
const TICK: Duration = Duration::from_micros(200);

/// Orders that a session may be behind before the pacer waits for it.
const ORDERS_MAX: usize = 1_024;

/// Updates at one rate.
#[derive(Serialize)]
pub struct Paced {
    /// The part of the measured maximum.
    share_of_maximum: f64,
    offered_per_s: f64,
    /// Accepted, durable, per second until the last one was.
    accepted_per_s: f64,
    /// Rejected because the inbox was full.
    busy: u64,
    /// From the scheduled time until it was accepted.
    #[serde(flatten)]
    latencies: Latencies,
    #[serde(skip)]
    took: Duration,
}

/// What a session is to send.
struct Order {
    scheduled: Instant,
    updates: u32,
}

impl Paced {
    /// Begins with nothing.
    pub fn new(share_of_maximum: f64) -> Self {
        Self {
            share_of_maximum,
            offered_per_s: 0.0,
            accepted_per_s: 0.0,
            busy: 0,
            latencies: Latencies::default(),
            took: Duration::ZERO,
        }
    }

    /// Offers the share of `maximum` per second for a slice.
    pub async fn offer(
        &mut self,
        market: &mut Market,
        maximum: f64,
        slice: Duration,
    ) -> anyhow::Result<()> {
        self.offered_per_s = (maximum * self.share_of_maximum).round();
        market.gather_crowd(CONNECTIONS).await?;
        let mut tasks = JoinSet::new();
        let mut sessions = Vec::new();
        for quoter in market.crowd.drain(..) {
            let (orders, session) = mpsc::channel(ORDERS_MAX);
            sessions.push(orders);
            tasks.spawn(quoter.follow(session));
        }
        let begun = Instant::now();
        let per_tick = self.offered_per_s * TICK.as_secs_f64();
        let pacer = thread::Builder::new().name("pacer".into());
        let pacer = pacer.spawn(move || pace(&sessions, begun, slice, per_tick))?;
        while let Some(task) = tasks.join_next().await {
            let (quoter, latencies, busy) = task.context("a session panicked")??;
            market.crowd.push(quoter);
            self.latencies.add(&latencies);
            self.busy += busy;
        }
        self.took += begun.elapsed();
        pacer.join().map_err(|_| anyhow::anyhow!("the pacer panicked"))?;
        let count = self.latencies.percentiles().count;
        self.accepted_per_s = (count as f64 / self.took.as_secs_f64()).round();
        Ok(())
    }

    /// Returns the row of the table.
    pub fn row(&self) -> (String, &Latencies) {
        let name = format!("{:.0} % = {:.0}/s", 100.0 * self.share_of_maximum, self.offered_per_s);
        (name, &self.latencies)
    }
}

/// Orders at their times what is due, from the sessions in turns. On a thread of its own: a
/// runtime's timers would be up to a millisecond late, and the figures with them.
fn pace(sessions: &[mpsc::Sender<Order>], begun: Instant, slice: Duration, per_tick: f64) {
    let mut due = 0.0;
    for (tick, session) in (1..).zip(sessions.iter().cycle()) {
        let after = TICK * tick;
        if after > slice {
            return;
        }
        let scheduled = begun + after;
        while let wait = scheduled.saturating_duration_since(Instant::now())
            && !wait.is_zero()
        {
            thread::park_timeout(wait);
        }
        due += per_tick;
        let updates = whole(due);
        due -= f64::from(updates);
        if session.blocking_send(Order { scheduled, updates }).is_err() {
            return;
        }
    }
}

/// Returns the whole part of a small number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tick's updates are far below the limit of the type, and never negative"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

impl Quoter {
    /// Sends what is ordered until there are no more orders and everything is answered. Returns
    /// also how many were rejected because the inbox was full.
    async fn follow(
        mut self,
        mut orders: mpsc::Receiver<Order>,
    ) -> anyhow::Result<(Self, Latencies, u64)> {
        let (mut latencies, mut unanswered) = (Latencies::default(), VecDeque::new());
        let mut busy = 0;
        let mut open = true;
        while open || !unanswered.is_empty() {
            tokio::select! {
                order = orders.recv(), if open => match order {
                    Some(Order { scheduled, updates }) => for _ in 0..updates {
                        let command = self.next();
                        unanswered.push_back((scheduled, self.client.send(command).await?));
                    },
                    None => open = false,
                },
                answered = oldest(&mut unanswered) => match answered? {
                    Some(scheduled) => latencies.record(scheduled.elapsed()),
                    None => busy += 1,
                },
            }
        }
        Ok((self, latencies, busy))
    }
}

/// Waits for the oldest answer, for ever if there is nothing to answer. Returns when its update was
/// scheduled, or nothing if there was no room for it.
async fn oldest(unanswered: &mut VecDeque<(Instant, Pending)>) -> anyhow::Result<Option<Instant>> {
    let Some((scheduled, answer)) = unanswered.front_mut() else { return pending().await };
    let scheduled = *scheduled;
    let answer = answer.await;
    unanswered.pop_front();
    match answer {
        Ok(_) => Ok(Some(scheduled)),
        Err(error) if error.is_transient() => Ok(None),
        Err(error) => Err(error).context("an update was not accepted"),
    }
}
