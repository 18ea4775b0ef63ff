//! Everything that is drawn: jobs, values, costs, answer times. The same in every venue.

use std::ops::RangeInclusive;
use std::time::Duration;

use gavel_protocol::{DurationNs, Micros};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::error::EconomyError;
use super::population::{Amount, CostKnown, Population, ProviderGroup, Span, WHOLE_BPS};

/// By how much one answer of a provider is faster or slower than it usually is, in basis points.
const ANSWER_VARIES_BPS: RangeInclusive<u64> = 8_000..=12_000;

/// How long before the close a sniping provider's answer comes, at the most.
const SNIPES_BEFORE_NS: u64 = 1_000_000;

/// A population with what was drawn for it.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) population: &'a Population,
    pub(super) providers: Vec<Provider<'a>>,
    pub(super) jobs: Vec<Job>,
    seed: u64,
}

/// A provider.
#[derive(Debug)]
pub(super) struct Provider<'a> {
    pub(super) group: &'a ProviderGroup,
    pub(super) group_index: usize,
    pub(super) capability: u32,
    /// What it takes a job to cost before it has read the spec.
    pub(super) cost_expected: Micros,
    answers_after: DurationNs,
}

/// A job that a buyer needs done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) opens_after: DurationNs,
    /// The capacity period that it opens in.
    pub(super) period: u64,
    pub(super) buyer: usize,
    pub(super) capability: u32,
    pub(super) value: Micros,
    pub(super) reserve: Micros,
    /// Whether it is to be cleared at once against standing quotes.
    pub(super) is_window_zero: bool,
}

/// What a job means to one of the providers that could do it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) provider: usize,
    pub(super) cost: Micros,
    /// How long after the RFQ's opening the provider can answer.
    pub(super) after: DurationNs,
    /// How long before the close it would answer if it waited for that.
    pub(super) snipes_before: DurationNs,
    pub(super) works_for: DurationNs,
}

impl<'a> World<'a> {
    /// Draws everything that does not depend on the pair of a job and a provider.
    ///
    /// # Errors
    ///
    /// [`EconomyError::Invalid`] if the population breaks a rule.
    pub(super) fn draw(population: &'a Population, seed: u64) -> Result<Self, EconomyError> {
        population.check().map_err(|expected| EconomyError::Invalid { expected })?;
        let mut providers = Vec::new();
        let groups = population.providers.iter().enumerate();
        let members =
            groups.flat_map(|(index, group)| (0..group.count).map(move |_| (index, group)));
        for (number, (group_index, group)) in (0..).zip(members) {
            let mut random = random(seed, Purpose::Provider, u64::from(number));
            providers.push(Provider {
                group,
                group_index,
                // Dealt out in turns, so that every group does every kind of work.
                capability: number % population.capabilities,
                cost_expected: match group.cost_known {
                    CostKnown::InAdvance => draw_amount(&mut random, &group.cost),
                    CostKnown::FromSpec => middle(&group.cost),
                },
                answers_after: draw_millis(&mut random, &group.answers_after_ms),
            });
        }
        Ok(Self { population, providers, jobs: draw_jobs(population, seed), seed })
    }

    /// Returns what a job means to each provider of its capability. Always the same for a job.
    pub(super) fn answers(&self, job: usize) -> impl Iterator<Item = Answer> {
        let mut random = random(self.seed, Purpose::Job, job as u64);
        let capability = self.jobs[job].capability;
        let providers = self.providers.iter().enumerate();
        providers.filter(move |(_, p)| p.capability == capability).map(move |(index, provider)| {
            let ProviderGroup { cost, cost_known, answers_after_ms, work_ms, .. } = provider.group;
            let varied = provider.answers_after.nanos() * random.random_range(ANSWER_VARIES_BPS)
                / u64::from(WHOLE_BPS);
            let (fastest, slowest) = (millis(answers_after_ms.min), millis(answers_after_ms.max));
            let after = DurationNs::from_nanos(varied).clamp(fastest, slowest);
            let drawn = draw_amount(&mut random, cost);
            Answer {
                provider: index,
                cost: match cost_known {
                    CostKnown::InAdvance => provider.cost_expected,
                    CostKnown::FromSpec => drawn,
                },
                after,
                snipes_before: DurationNs::from_nanos(random.random_range(1..=SNIPES_BEFORE_NS)),
                works_for: draw_millis(&mut random, work_ms),
            }
        })
    }

    /// Returns how many providers do each kind of work.
    pub(super) fn rivals(&self, capability: u32) -> i64 {
        let of_capability = |provider: &&Provider<'_>| provider.capability == capability;
        let count = self.providers.iter().filter(of_capability).count();
        i64::try_from(count).expect("a population has at most ECONOMY_PROVIDERS_MAX providers")
    }
}

fn draw_jobs(population: &Population, seed: u64) -> Vec<Job> {
    let mut random = random(seed, Purpose::Jobs, 0);
    let mut opens_after = Duration::ZERO;
    let period = DurationNs::from_millis(u64::from(population.capacity_period_ms));
    let jobs = (0..population.rfqs).map(|_| {
        // The gaps of a Poisson process are exponentially distributed. The draw is in [0, 1), so
        // the logarithm is of something in (0, 1].
        let draw: f64 = random.random();
        let gap = -(1.0 - draw).ln() / f64::from(population.rfqs_per_s);
        opens_after += Duration::from_secs_f64(gap);
        let opens_after = u64::try_from(opens_after.as_nanos()).unwrap_or(u64::MAX);
        let value = draw_amount(&mut random, &population.buyers.value);
        Job {
            opens_after: DurationNs::from_nanos(opens_after),
            period: opens_after / period.nanos(),
            buyer: random.random_range(0..population.buyers.count as usize),
            capability: random.random_range(0..population.capabilities),
            value,
            reserve: part_rounded_up(value, population.buyers.reserve_bps),
            is_window_zero: random.random_range(0..WHOLE_BPS) < population.window_zero_bps,
        }
    });
    jobs.collect()
}

/// Returns `amount` × `share_bps`, rounded up, so that a share of something is never nothing.
pub(super) fn part_rounded_up(amount: Micros, share_bps: u32) -> Micros {
    Micros::new(divided_rounded_up(amount.raw() * i64::from(share_bps), i64::from(WHOLE_BPS)))
}

/// Divides what is not negative by what is above zero, rounded up.
pub(super) fn divided_rounded_up(dividend: i64, divisor: i64) -> i64 {
    dividend / divisor + i64::from(dividend % divisor > 0)
}

/// Returns a duration of whole milliseconds.
pub(super) fn millis(millis: u32) -> DurationNs {
    DurationNs::from_millis(u64::from(millis))
}

fn draw_amount(random: &mut ChaCha8Rng, span: &Span<Amount>) -> Micros {
    Micros::new(random.random_range(span.min.micros().raw()..=span.max.micros().raw()))
}

fn draw_millis(random: &mut ChaCha8Rng, span: &Span<u32>) -> DurationNs {
    DurationNs::from_nanos(random.random_range(millis(span.min).nanos()..=millis(span.max).nanos()))
}

fn middle(span: &Span<Amount>) -> Micros {
    Micros::new((span.min.micros().raw() + span.max.micros().raw()) / 2)
}

/// What something is drawn for. No two purposes share their numbers.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// What a provider is like.
    Provider,
    /// Who needs what when.
    Jobs,
    /// What one job means to its providers.
    Job,
}

fn random(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"gavel economy draws 1\0");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&[purpose as u8]);
    hasher.update(&index.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
