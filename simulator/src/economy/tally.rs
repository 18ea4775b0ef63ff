//! What happened in a venue, summed up as it happens.

use std::collections::BTreeMap;

use gavel_protocol::{DurationNs, Micros, RejectReason};

use super::world::{Answer, Job, World};

/// The width of a bucket of answer times.
pub(super) const BUCKET_MS: usize = 25;

/// Buckets of answer times; the last one takes all longer ones, too.
pub(super) const BUCKETS: usize = 7;

/// What happened in a venue. Money in millionths: no sum overflows, by the limits of a population.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) welfare: i64,
    pub(super) surplus: i64,
    pub(super) revenue: i64,
    pub(super) profit: i64,
    pub(super) fees: i64,
    pub(super) awarded: u32,
    pub(super) passed: u32,
    pub(super) delivered: u32,
    pub(super) faded: u32,
    /// Commands that were sent to the exchange once everybody was enrolled.
    pub(super) commands: u64,
    pub(super) withheld: u64,
    pub(super) refusals: BTreeMap<&'static str, u64>,
    pub(super) chances: [Chance; BUCKETS],
    pub(super) answers_in_window: u64,
    /// How long each buyer waited for the result.
    pub(super) waited: Vec<u64>,
    /// How long each waited on after the last quote in time.
    pub(super) waited_after_last: Vec<u64>,
    /// How long each waited on after the quote that was awarded.
    pub(super) waited_after_winner: Vec<u64>,
    pub(super) groups: Vec<GroupTally>,
    /// The sum of all balances; none where there is no ledger.
    pub(super) trial_balance: Option<i128>,
}

/// How often answers of one speed won.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chance {
    pub(super) answers: u64,
    pub(super) wins: u64,
}

/// What happened to a group of providers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupTally {
    pub(super) answers: u64,
    pub(super) wins: u64,
    pub(super) delivered: u64,
    pub(super) revenue: i64,
    pub(super) profit: i64,
}

/// What a job was paid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    pub(super) price: Micros,
    /// The exchange's part of the price.
    pub(super) fee: Micros,
}

impl Tally {
    pub(super) fn new(world: &World<'_>) -> Self {
        Self {
            welfare: 0,
            surplus: 0,
            revenue: 0,
            profit: 0,
            fees: 0,
            awarded: 0,
            passed: 0,
            delivered: 0,
            faded: 0,
            commands: 0,
            withheld: 0,
            refusals: BTreeMap::new(),
            chances: [Chance::default(); BUCKETS],
            answers_in_window: 0,
            waited: Vec::new(),
            waited_after_last: Vec::new(),
            waited_after_winner: Vec::new(),
            groups: vec![GroupTally::default(); world.population.providers.len()],
            trial_balance: None,
        }
    }

    /// Counts an answer that a provider gave to an RFQ.
    pub(super) fn answered(&mut self, group: usize, answer: &Answer, window: DurationNs) {
        self.chances[bucket(answer.after)].answers += 1;
        self.answers_in_window += u64::from(answer.after < window);
        self.groups[group].answers += 1;
    }

    /// Counts an award to a sealed quote.
    pub(super) fn won(&mut self, group: usize, answer: &Answer) {
        self.chances[bucket(answer.after)].wins += 1;
        self.won_standing(group);
    }

    /// Counts an award to a standing quote: nobody had to answer.
    pub(super) fn won_standing(&mut self, group: usize) {
        self.awarded += 1;
        self.groups[group].wins += 1;
    }

    /// Counts a job that was done and paid for.
    pub(super) fn delivered(&mut self, group: usize, job: &Job, cost: Micros, paid: Payment) {
        let (price, fee) = (paid.price.raw(), paid.fee.raw());
        let profit = price - fee - cost.raw();
        self.delivered += 1;
        self.welfare += job.value.raw() - cost.raw();
        self.surplus += job.value.raw() - price;
        self.revenue += price;
        self.fees += fee;
        self.profit += profit;
        let group = &mut self.groups[group];
        group.delivered += 1;
        group.revenue += price;
        group.profit += profit;
    }

    /// Counts a command that was rejected.
    pub(super) fn refused(&mut self, reason: RejectReason) {
        *self.refusals.entry(reason.info().name).or_default() += 1;
    }
}

fn bucket(after: DurationNs) -> usize {
    let bucket = after.nanos() / DurationNs::from_millis(BUCKET_MS as u64).nanos();
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}
