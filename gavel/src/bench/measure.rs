//! Times pieces of work, counts what they allocate, and replays recorded streams of commands.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use gavel_protocol::{AgentId, Event, Stamped};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::allocator::allocations;
use crate::bench::market::Market;

/// The service time of one kind of command.
#[derive(Debug, Serialize)]
pub struct Flow {
    /// Of the whole stream where there is one, without a clock read per command; else 1 / mean.
    pub commands_per_s: f64,
    pub mean_ns: f64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
    pub allocations_per_command: f64,
    pub events_per_command: f64,
    pub accepted_share: f64,
    pub times_floor: f64,
}

/// A recorded stream, and how to make the market that it continues.
pub struct Recording<'a> {
    pub market: &'a dyn Fn() -> anyhow::Result<Market>,
    pub stream: &'a [Stamped],
    /// How many of the stream's commands come before the measured ones.
    pub warm_up: usize,
    /// How many commands the exchange is shown at once before they are applied.
    pub ahead: usize,
}

/// Whole replays whose median is the throughput.
const REPLAYS: usize = 3;

impl<'a> Recording<'a> {
    /// Measures the stream: as a whole for the throughput, command by command for the rest. What a
    /// command finds due is part of it.
    pub fn measure(&self, timer_ns: u64, floor_mean_ns: f64) -> anyhow::Result<Flow> {
        let (warm_up, measured) = self.split();
        let commands = commands(measured).count();
        let mut rates = Vec::new();
        for _ in 0..REPLAYS {
            let mut market = (self.market)()?;
            market.replay(warm_up, self.ahead);
            let start = Instant::now();
            market.replay(measured, self.ahead);
            rates.push(commands as f64 / start.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);

        let mut market = (self.market)()?;
        market.replay(warm_up, self.ahead);
        let mut measure = Measure::new(timer_ns)?;
        let (commands, mut rest): (Vec<_>, _) = (with_what_was_due(measured).collect(), measured);
        for few in commands.chunks(self.ahead) {
            let next;
            (next, rest) = rest.split_at(few.iter().map(|steps| steps.len()).sum());
            measure.few(&mut market, next, few);
        }
        let mut flow = measure.flow(Some(floor_mean_ns))?;
        flow.commands_per_s = rates[REPLAYS / 2];
        Ok(flow)
    }

    /// Splits the stream behind the command that ends the warm-up.
    pub fn split(&self) -> (&'a [Stamped], &'a [Stamped]) {
        let warm_up = with_what_was_due(self.stream).take(self.warm_up);
        self.stream.split_at(warm_up.map(<[Stamped]>::len).sum())
    }
}

/// Returns the commands of a stream, without the steps that let time advance.
pub fn commands(stream: &[Stamped]) -> impl Iterator<Item = &Stamped> {
    stream.iter().filter(|stamped| !is_own(stamped))
}

/// Returns each command of a stream together with the steps that had to come before it.
fn with_what_was_due(stream: &[Stamped]) -> impl Iterator<Item = &[Stamped]> {
    stream.split_inclusive(|stamped| !is_own(stamped))
}

fn is_own(stamped: &Stamped) -> bool {
    stamped.request.agent == AgentId::EXCHANGE
}

/// Times pieces of work, and counts their allocations, events and rejects.
pub struct Measure {
    histogram: Histogram<u64>,
    timer_ns: u64,
    total_ns: u64,
    allocations: u64,
    events: usize,
    rejected: usize,
}

impl Measure {
    pub fn new(timer_ns: u64) -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, 10_000_000_000, 3)?;
        Ok(Self { histogram, timer_ns, total_ns: 0, allocations: 0, events: 0, rejected: 0 })
    }

    /// Measures a few commands that are looked ahead at together; each has its share of that.
    fn few(&mut self, market: &mut Market, next: &[Stamped], commands: &[&[Stamped]]) {
        let start = Instant::now();
        market.look_ahead(black_box(next));
        let looked_ns = nanos(start).saturating_sub(self.timer_ns);
        for steps in commands {
            self.steps(market, steps, looked_ns / commands.len() as u64);
        }
    }

    /// Measures one command: the last of `steps`, after those that had to come before it.
    pub fn steps(&mut self, market: &mut Market, steps: &[Stamped], before_ns: u64) {
        let mut events = 0;
        self.one(before_ns, || {
            for step in steps {
                market.step(black_box(step));
                events += market.events().len();
            }
        });
        self.events += events;
        self.rejected += usize::from(matches!(market.events().first(), Some(Event::Rejected(_))));
    }

    /// Measures one command that nothing had to come before, and returns what it took.
    pub fn timed(&mut self, market: &mut Market, stamped: &Stamped) -> u64 {
        let before = self.total_ns;
        self.steps(market, std::slice::from_ref(stamped), 0);
        self.total_ns - before
    }

    /// Adds a command that was measured elsewhere.
    pub fn add(&mut self, took_ns: u64, events: usize) {
        self.total_ns += took_ns;
        self.events += events;
        self.histogram.saturating_record(took_ns);
    }

    /// Returns the mean so far.
    pub fn mean_ns(&self) -> f64 {
        self.total_ns as f64 / self.histogram.len().max(1) as f64
    }

    /// Measures a piece of work for which `before_ns` were spent already.
    pub fn one(&mut self, before_ns: u64, work: impl FnOnce()) {
        let allocations_before = allocations();
        let start = Instant::now();
        work();
        let elapsed = nanos(start);
        self.allocations += allocations() - allocations_before;
        let elapsed = before_ns + elapsed.saturating_sub(self.timer_ns);
        self.total_ns += elapsed;
        self.histogram.saturating_record(elapsed);
    }

    /// Sums up; without a floor to compare with, it is the floor.
    pub fn flow(self, floor_mean_ns: Option<f64>) -> anyhow::Result<Flow> {
        let count = self.histogram.len();
        anyhow::ensure!(count > 0, "nothing was measured");
        let per_command = |total: f64| total / count as f64;
        let mean_ns = per_command(self.total_ns as f64);
        Ok(Flow {
            commands_per_s: 1e9 / mean_ns,
            mean_ns,
            p50_ns: self.histogram.value_at_quantile(0.5),
            p99_ns: self.histogram.value_at_quantile(0.99),
            p999_ns: self.histogram.value_at_quantile(0.999),
            max_ns: self.histogram.max(),
            allocations_per_command: per_command(self.allocations as f64),
            events_per_command: per_command(self.events as f64),
            accepted_share: 1.0 - per_command(self.rejected as f64),
            times_floor: mean_ns / floor_mean_ns.unwrap_or(mean_ns),
        })
    }
}

impl Flow {
    /// Fails unless every command was accepted.
    pub fn all_accepted(self) -> anyhow::Result<Self> {
        let share = self.accepted_share;
        anyhow::ensure!(share == 1.0, "only {share:.4} of the commands were accepted");
        Ok(self)
    }
}

/// The cost of timing nothing: the median of many.
pub fn timer_cost() -> u64 {
    let mut costs: Vec<u64> = (0..100_000)
        .map(|_| {
            let start = Instant::now();
            nanos(black_box(start))
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The heads of the columns of a [`Flow`].
pub struct Heads;

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10} {:>9} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>8}",
            "per s", "mean ns", "p50", "p99", "p99.9", "max", "alloc", "events", "× floor"
        )
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10.0} {:>9.1} {:>8} {:>8} {:>8} {:>9} {:>7.3} {:>7.2} {:>8.2}",
            self.commands_per_s,
            self.mean_ns,
            self.p50_ns,
            self.p99_ns,
            self.p999_ns,
            self.max_ns,
            self.allocations_per_command,
            self.events_per_command,
            self.times_floor
        )
    }
}
