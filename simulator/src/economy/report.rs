//! What came out of an economy: one object for machines, a table for people.

use std::collections::BTreeMap;
use std::fmt;

use gavel_protocol::{Format, Micros, Name};
use serde::Serialize;

use super::optimum::Optimum;
use super::strategy::Venue;
use super::tally::{BUCKET_MS, BUCKETS, Chance, Tally};
use super::world::World;

/// What a population came to in every venue.
#[derive(Clone, Debug, Serialize)]
pub struct MarketReport {
    /// The population's name.
    pub population: Name,
    /// The seed of everything that was drawn.
    pub seed: u64,
    /// RFQs, one job each.
    pub rfqs: u32,
    /// Buyers.
    pub buyers: u32,
    /// Providers.
    pub providers: u32,
    /// How the exchange clears.
    pub format: Format,
    /// How long an RFQ collects sealed quotes.
    pub window_ms: u32,
    /// The best that anybody could have made of it.
    pub optimum: OptimumReport,
    /// What each venue made of it.
    pub venues: Vec<VenueReport>,
    /// What the exchange made of it with other windows; empty unless that was asked for.
    pub by_window: Vec<WindowReport>,
}

/// The best that anybody could have made of a population.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OptimumReport {
    /// The sum of value less cost.
    pub welfare_micros: Micros,
    /// Jobs that are done.
    pub jobs: u32,
}

/// The share of the optimum at one window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WindowReport {
    /// The window; zero clears at once against standing quotes.
    pub window_ms: u32,
    /// The share of the optimum's welfare.
    pub welfare_share: f64,
}

/// What a venue made of a population. Shares are between 0 and 1.
#[derive(Clone, Debug, Serialize)]
pub struct VenueReport {
    /// Which venue.
    pub venue: Venue,
    /// The sum of value less cost of the jobs that were delivered.
    pub welfare_micros: Micros,
    /// The same as a share of the optimum's.
    pub welfare_share: f64,
    /// The sum of value less price of the jobs that were delivered.
    pub buyers_surplus_micros: Micros,
    /// What buyers paid.
    pub providers_revenue_micros: Micros,
    /// What is left of it after fees and costs.
    pub providers_profit_micros: Micros,
    /// What the exchange kept.
    pub fees_micros: Micros,
    /// RFQs that ended in a contract.
    pub awarded: u32,
    /// RFQs that ended without one, those included that were refused.
    pub passed: u32,
    /// Contracts that were delivered.
    pub delivered: u32,
    /// Contracts that were not.
    pub faded: u32,
    /// The share of RFQs that were awarded.
    pub award_share: f64,
    /// The share of RFQs that passed.
    pub pass_share: f64,
    /// Answers that providers gave to RFQs.
    pub answers: u64,
    /// The share of them that would be ready within the window.
    pub answers_in_window_share: f64,
    /// Answers that were not given, because the provider's capacity was promised to others.
    pub answers_withheld: u64,
    /// Commands that the exchange was sent, after everybody was enrolled.
    pub commands: u64,
    /// Commands, or first-come quotes, that were refused, by reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// How long buyers waited for the result.
    pub waited: Waiting,
    /// How long buyers waited on when no further quote came: it could change nothing.
    pub waited_after_last_quote: Waiting,
    /// How long buyers waited on after the quote that was awarded.
    pub waited_after_winner: Waiting,
    /// How often sealed quotes won, by how long the provider took to answer.
    pub win_rate_by_latency: Vec<LatencyBucket>,
    /// What each group of providers made of it.
    pub groups: Vec<GroupReport>,
    /// The sum of all balances, which is zero; none where there is no ledger.
    pub trial_balance: Option<i128>,
}

/// How long something took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Waiting {
    /// The mean.
    pub mean_ms: f64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 99 in a hundred took no longer.
    pub p99_ms: f64,
}

/// How often answers of one speed won.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LatencyBucket {
    /// The fastest answer.
    pub from_ms: u64,
    /// The slowest answer, excluded; none in the last bucket.
    pub to_ms: Option<u64>,
    /// Answers and wins.
    #[serde(flatten)]
    pub chances: Chances,
}

/// Answers and how many of them won.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Chances {
    /// Answers.
    pub answers: u64,
    /// Awards, also those to standing quotes, which take no answer.
    pub wins: u64,
    /// Wins by answers.
    pub win_rate: f64,
}

/// What a group of providers made of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct GroupReport {
    /// The group's name.
    pub group: Name,
    /// Answers and wins.
    #[serde(flatten)]
    pub chances: Chances,
    /// Contracts that were delivered.
    pub delivered: u64,
    /// What buyers paid.
    pub revenue_micros: Micros,
    /// What is left of it after fees and costs.
    pub profit_micros: Micros,
}

impl From<Optimum> for OptimumReport {
    fn from(optimum: Optimum) -> Self {
        Self { welfare_micros: Micros::new(optimum.welfare), jobs: optimum.jobs }
    }
}

impl VenueReport {
    pub(super) fn new(world: &World<'_>, optimum: Optimum, venue: Venue, tally: Tally) -> Self {
        let rfqs = f64::from(world.population.rfqs);
        let answers = tally.groups.iter().map(|group| group.answers).sum();
        let groups = world.population.providers.iter().zip(&tally.groups);
        Self {
            venue,
            welfare_micros: Micros::new(tally.welfare),
            welfare_share: share_of(optimum, &tally),
            buyers_surplus_micros: Micros::new(tally.surplus),
            providers_revenue_micros: Micros::new(tally.revenue),
            providers_profit_micros: Micros::new(tally.profit),
            fees_micros: Micros::new(tally.fees),
            awarded: tally.awarded,
            passed: tally.passed,
            delivered: tally.delivered,
            faded: tally.faded,
            award_share: share(f64::from(tally.awarded), rfqs),
            pass_share: share(f64::from(tally.passed), rfqs),
            answers,
            answers_in_window_share: share(tally.answers_in_window as f64, answers as f64),
            answers_withheld: tally.withheld,
            commands: tally.commands,
            waited: Waiting::of(tally.waited),
            waited_after_last_quote: Waiting::of(tally.waited_after_last),
            waited_after_winner: Waiting::of(tally.waited_after_winner),
            win_rate_by_latency: latency_buckets(&tally.chances),
            groups: groups
                .map(|(group, tally)| GroupReport {
                    group: group.name,
                    chances: Chances::new(tally.answers, tally.wins),
                    delivered: tally.delivered,
                    revenue_micros: Micros::new(tally.revenue),
                    profit_micros: Micros::new(tally.profit),
                })
                .collect(),
            refusals: tally.refusals,
            trial_balance: tally.trial_balance,
        }
    }
}

/// Returns the share of the optimum's welfare that was realised.
pub(super) fn share_of(optimum: Optimum, tally: &Tally) -> f64 {
    share(tally.welfare as f64, optimum.welfare as f64)
}

fn latency_buckets(chances: &[Chance; BUCKETS]) -> Vec<LatencyBucket> {
    let edges = (0..).step_by(BUCKET_MS);
    let buckets = edges.zip(chances).enumerate().map(|(index, (from_ms, chance))| LatencyBucket {
        from_ms,
        to_ms: (index + 1 < BUCKETS).then_some(from_ms + BUCKET_MS as u64),
        chances: Chances::new(chance.answers, chance.wins),
    });
    buckets.collect()
}

impl Chances {
    fn new(answers: u64, wins: u64) -> Self {
        Self { answers, wins, win_rate: share(wins as f64, answers as f64) }
    }
}

impl Waiting {
    fn of(mut waited_ns: Vec<u64>) -> Self {
        waited_ns.sort_unstable();
        let Some(last) = waited_ns.len().checked_sub(1) else { return Self::default() };
        let mean = waited_ns.iter().sum::<u64>() as f64 / waited_ns.len() as f64;
        let at = |percent: usize| millis(waited_ns[last * percent / 100] as f64);
        Self { mean_ms: millis(mean), p50_ms: at(50), p99_ms: at(99) }
    }
}

fn millis(nanos: f64) -> f64 {
    (nanos / 1e3).round() / 1e3
}

/// Returns a share to six decimals, and zero of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { (part / whole * 1e6).round() / 1e6 }
}

impl fmt::Display for MarketReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { population, seed, rfqs, buyers, providers, window_ms, optimum, .. } = self;
        writeln!(
            f,
            "{population}, seed {seed}: {rfqs} RFQs, {buyers} buyers, {providers} providers, window \
             {window_ms} ms; at best {} by {} jobs",
            optimum.welfare_micros, optimum.jobs
        )?;
        writeln!(
            f,
            "  {:11} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>8} {:>8} {:>9}",
            "venue",
            "welfare",
            "buyers",
            "profit",
            "awarded",
            "faded",
            "late",
            "waited",
            "in vain",
            "commands"
        )?;
        for venue in &self.venues {
            writeln!(f, "{}", venue.row(*optimum))?;
        }
        for venue in &self.venues {
            for GroupReport { group, chances, profit_micros, .. } in &venue.groups {
                let (venue, Chances { answers, wins, .. }) = (venue.venue, chances);
                let record = format!("{answers} answers, {wins} wins, profit {profit_micros}");
                writeln!(f, "  {venue:11} {group}: {record}")?;
            }
        }
        for WindowReport { window_ms, welfare_share } in &self.by_window {
            writeln!(f, "  window {window_ms:3} ms: {:.1} %", welfare_share * 100.0)?;
        }
        Ok(())
    }
}

impl VenueReport {
    /// Returns a line of the table: money as shares of the optimum.
    fn row(&self, optimum: OptimumReport) -> String {
        let whole = optimum.welfare_micros.raw() as f64;
        let of_optimum =
            |amount: Micros| format!("{:.1} %", 100.0 * share(amount.raw() as f64, whole));
        format!(
            "  {:11} {:>8} {:>8} {:>8} {:>8} {:>7} {:>6} {:>8} {:>8} {:>9}",
            self.venue,
            of_optimum(self.welfare_micros),
            of_optimum(self.buyers_surplus_micros),
            of_optimum(self.providers_profit_micros),
            self.awarded,
            self.faded,
            format!("{:.0} %", 100.0 * (1.0 - self.answers_in_window_share)),
            format!("{:.1} ms", self.waited.mean_ms),
            format!("{:.1} ms", self.waited_after_last_quote.mean_ms),
            self.commands,
        )
    }
}
