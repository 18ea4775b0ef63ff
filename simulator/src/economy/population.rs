//! Who trades in an economy, as a population file says.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use gavel_protocol::{Format, Micros, Name};
use serde::Deserialize;

use super::error::PopulationError;
use crate::limits::{
    ANSWERS_MAX, CAPABILITIES_MAX, CAPACITY_MAX, CAPACITY_PERIOD_MS_MAX, ECONOMY_BUYERS_MAX,
    ECONOMY_FEE_PPM_MAX, ECONOMY_MS_MAX, ECONOMY_PROVIDERS_MAX, ECONOMY_RFQS_MAX,
    ECONOMY_RFQS_PER_S_MAX, FLOOD_COMMANDS_MAX, JOB_AMOUNT_MAX, POPULATION_BYTES_MAX,
    PROVIDER_GROUPS_MAX, RFQS_PER_PERIOD_MAX,
};

/// Basis points in a whole.
pub(super) const WHOLE_BPS: u32 = 10_000;

/// Who trades, and how much. Every field stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// What reports call it.
    pub name: Name,
    /// RFQs that are opened, one job each.
    pub rfqs: u32,
    /// How many of them a second, on the average: arrivals are Poisson.
    pub rfqs_per_s: u32,
    /// Kinds of work. Each provider does one of them.
    pub capabilities: u32,
    /// How the exchange clears.
    pub format: Format,
    /// What each basis point of missing reputation adds to a quote's score, if anything.
    pub reputation_per_bps: Option<Amount>,
    /// How long an RFQ collects sealed quotes.
    pub window_ms: u32,
    /// The share of RFQs that are cleared at once against standing quotes, in basis points.
    pub window_zero_bps: u32,
    /// What a provider's capacity is counted in.
    pub capacity_period_ms: u32,
    /// The exchange's fee, paid by the provider.
    pub fee_ppm: u32,
    /// Who buys.
    pub buyers: Buyers,
    /// Who provides, in groups that behave alike.
    pub providers: Vec<ProviderGroup>,
}

/// Who buys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buyers {
    /// How many.
    pub count: u32,
    /// What a job is worth to its buyer: drawn uniformly for each.
    pub value: Span<Amount>,
    /// The reserve price as a share of the value, in basis points.
    pub reserve_bps: u32,
}

/// Providers that behave alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderGroup {
    /// What reports call it.
    pub name: Name,
    /// How many.
    pub count: u32,
    /// How they quote and deliver.
    pub behaviour: Behaviour,
    /// What a job costs them: drawn uniformly.
    pub cost: Span<Amount>,
    /// When a provider knows its cost.
    pub cost_known: CostKnown,
    /// How long a provider takes to answer: drawn uniformly for each, and a fifth up or down for
    /// each of its answers.
    pub answers_after_ms: Span<u32>,
    /// How long a job takes: drawn uniformly for each.
    pub work_ms: Span<u32>,
    /// Jobs that a provider takes on of those whose RFQs open within one capacity period.
    pub capacity: u32,
    /// How many of them it offers as a standing quote.
    pub standing_capacity: u32,
}

/// How providers quote and deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Behaviour {
    /// Quotes its cost and a margin on it, as soon as it can.
    Honest {
        /// The margin in basis points of the cost.
        margin_bps: u32,
    },
    /// Quotes what is best for itself given what it believes of the others.
    Shading,
    /// Prices like [`Behaviour::Shading`], and answers in the last millisecond of the window.
    Sniping,
    /// Quotes below its cost to win, and never delivers.
    Fading {
        /// How far below its cost, in basis points of it.
        discount_bps: u32,
    },
    /// Prices like an honest provider without a margin, and sends many commands about each RFQ.
    Flooding {
        /// How many.
        commands_per_rfq: u32,
    },
}

/// When a provider knows what a job costs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostKnown {
    /// Always: every job costs it the same. This is commodity work.
    InAdvance,
    /// Once it has read the job spec: every job costs it something else.
    FromSpec,
}

/// The smallest and the largest of what is drawn uniformly, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span<T> {
    /// The smallest.
    pub min: T,
    /// The largest.
    pub max: T,
}

/// A cost or a value: above zero and at most [`JOB_AMOUNT_MAX`]. In a file: units as text (`"12.50"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Amount(Micros);

impl Amount {
    /// Returns the amount.
    pub const fn micros(self) -> Micros {
        self.0
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let most = Micros::new(JOB_AMOUNT_MAX);
        match Micros::parse_units(&text) {
            Ok(amount) if amount > Micros::ZERO && amount <= most => Ok(Self(amount)),
            Ok(_) | Err(_) => Err(format!(
                "expected an amount above zero and at most {most} as text, such as \"12.50\", \
                 not {text:?}"
            )),
        }
    }
}

impl Behaviour {
    /// Returns whether it delivers what it is awarded.
    pub(super) fn delivers(self) -> bool {
        match self {
            Self::Honest { .. } | Self::Shading | Self::Sniping | Self::Flooding { .. } => true,
            Self::Fading { .. } => false,
        }
    }

    /// Returns how many commands it sends about an RFQ that it quotes for.
    pub(super) fn commands_per_rfq(self) -> u32 {
        match self {
            Self::Flooding { commands_per_rfq } => commands_per_rfq,
            Self::Honest { .. } | Self::Shading | Self::Sniping | Self::Fading { .. } => 1,
        }
    }
}

impl Population {
    /// Reads a population file.
    ///
    /// # Errors
    ///
    /// [`PopulationError`], which names the file and what was expected.
    pub fn read(path: &Path) -> Result<Self, PopulationError> {
        let reading = |source| PopulationError::Reading { file: path.into(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(reading)?;
        file.take(POPULATION_BYTES_MAX + 1).read_to_string(&mut text).map_err(reading)?;
        if text.len() as u64 > POPULATION_BYTES_MAX {
            let most = format!("expected at most {POPULATION_BYTES_MAX} bytes");
            return Err(reading(io::Error::new(io::ErrorKind::FileTooLarge, most)));
        }
        let parsing = |source| PopulationError::Parsing { file: path.into(), source };
        let population: Self = serde_json::from_str(&text).map_err(parsing)?;
        let invalid = |expected| PopulationError::Invalid { file: path.into(), expected };
        population.check().map_err(invalid)?;
        Ok(population)
    }

    /// Returns the number of providers.
    pub fn provider_count(&self) -> u32 {
        self.providers.iter().fold(0, |sum, group| sum.saturating_add(group.count))
    }

    /// Returns whether somebody stands: then there is something to clear against at once.
    pub(super) fn has_standing_quotes(&self) -> bool {
        self.providers.iter().any(|group| group.standing_capacity > 0)
    }

    /// Checks that everything is within its limits; says what was expected where it is not.
    pub(super) fn check(&self) -> Result<(), String> {
        if !matches!(self.format, Format::FirstPrice | Format::SecondPrice) {
            return Err("format: expected first_price or second_price".into());
        }
        within("rfqs", self.rfqs, 1, ECONOMY_RFQS_MAX)?;
        within("rfqs_per_s", self.rfqs_per_s, 1, ECONOMY_RFQS_PER_S_MAX)?;
        within("window_ms", self.window_ms, 1, ECONOMY_MS_MAX)?;
        within("window_zero_bps", self.window_zero_bps, 0, WHOLE_BPS)?;
        within("capacity_period_ms", self.capacity_period_ms, 1, CAPACITY_PERIOD_MS_MAX)?;
        within("fee_ppm", self.fee_ppm, 0, ECONOMY_FEE_PPM_MAX)?;
        within("buyers.count", self.buyers.count, 1, ECONOMY_BUYERS_MAX)?;
        ordered("buyers.value", &self.buyers.value)?;
        within("buyers.reserve_bps", self.buyers.reserve_bps, 1, WHOLE_BPS)?;
        if self.providers.len() > PROVIDER_GROUPS_MAX {
            return Err(format!("providers: expected at most {PROVIDER_GROUPS_MAX} groups"));
        }
        self.providers.iter().try_for_each(ProviderGroup::check)?;
        within("count of all providers", self.provider_count(), 1, ECONOMY_PROVIDERS_MAX)?;
        let kinds_max = CAPABILITIES_MAX.min(self.provider_count());
        within("capabilities", self.capabilities, 1, kinds_max)?;
        if self.window_zero_bps > 0 && !self.has_standing_quotes() {
            let expected = "expected 0, or a group of providers with standing_capacity above 0";
            return Err(format!("window_zero_bps: {expected}"));
        }
        self.check_size()
    }

    fn check_size(&self) -> Result<(), String> {
        let per_s = u64::from(self.rfqs_per_s);
        if per_s * u64::from(self.capacity_period_ms) > RFQS_PER_PERIOD_MAX * 1_000 {
            return Err(format!(
                "rfqs_per_s in capacity_period_ms: expected at most {RFQS_PER_PERIOD_MAX} RFQs"
            ));
        }
        let commands = |group: &ProviderGroup| {
            u64::from(group.count) * u64::from(group.behaviour.commands_per_rfq())
        };
        let per_rfq = self.providers.iter().map(commands).sum::<u64>();
        let answers = u64::from(self.rfqs) * per_rfq / u64::from(self.capabilities);
        if answers > ANSWERS_MAX {
            return Err(format!(
                "rfqs times providers of a capability: expected at most {ANSWERS_MAX} answers, \
                 not {answers}"
            ));
        }
        Ok(())
    }
}

impl ProviderGroup {
    fn check(&self) -> Result<(), String> {
        self.check_fields().map_err(|expected| format!("providers {}: {expected}", self.name))
    }

    fn check_fields(&self) -> Result<(), String> {
        within("count", self.count, 1, ECONOMY_PROVIDERS_MAX)?;
        ordered("cost", &self.cost)?;
        ordered("answers_after_ms", &self.answers_after_ms)?;
        within("answers_after_ms.max", self.answers_after_ms.max, 0, ECONOMY_MS_MAX)?;
        ordered("work_ms", &self.work_ms)?;
        within("work_ms.max", self.work_ms.max, 0, ECONOMY_MS_MAX)?;
        within("capacity", self.capacity, 1, CAPACITY_MAX)?;
        within("standing_capacity", self.standing_capacity, 0, self.capacity)?;
        match self.behaviour {
            Behaviour::Honest { margin_bps } => within("margin_bps", margin_bps, 0, WHOLE_BPS),
            Behaviour::Fading { discount_bps } => {
                within("discount_bps", discount_bps, 0, WHOLE_BPS)
            }
            Behaviour::Flooding { commands_per_rfq } => {
                within("commands_per_rfq", commands_per_rfq, 1, FLOOD_COMMANDS_MAX)
            }
            Behaviour::Shading | Behaviour::Sniping => Ok(()),
        }
    }
}

fn within(field: &str, value: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{field}: expected {least} to {most}, not {value}"))
}

fn ordered<T: PartialOrd>(field: &str, span: &Span<T>) -> Result<(), String> {
    if span.min <= span.max {
        return Ok(());
    }
    Err(format!("{field}: expected min to be no larger than max"))
}
