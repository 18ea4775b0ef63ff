//! What a load consists of: how many agents, how fast, and how they behave.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use gavel_client::{Config, SigningKey, Trust};
use gavel_protocol::limits::{AMOUNT_MAX, WINDOW_MAX, WORK_TIME_MAX};
use gavel_protocol::{Codec, Currency, DurationNs, Micros};

use super::error::LoadError;
use crate::limits::{AGENTS_MAX, CAPABILITIES_MAX, RATE_PER_S_MAX, RECONNECT_FOR_MAX};

/// What the synthetic agents trade in.
pub(crate) const CURRENCY: Currency = Currency::USD;

/// How long a provider may take to deliver. Far longer than it plans to, so that a contract expires
/// only if something is wrong.
pub(crate) const DELIVERY_WITHIN: DurationNs = DurationNs::from_secs(30);

/// How long a buyer that means to accept may take for it.
pub(crate) const ACCEPTANCE_WITHIN: DurationNs = DurationNs::from_secs(60);

/// Everything that a [`super::Load`] needs to know.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Where the exchange listens.
    pub address: SocketAddr,
    /// How the exchange proves that it is the right one.
    pub trust: Trust,
    /// How payloads are written.
    pub codec: Codec,
    /// The operator's key: it enrols the agents and tops up the buyers.
    pub operator_key: SigningKey,
    /// Decides when agents send and what.
    pub seed: u64,
    /// Tells the keys of this run's agents from those of other runs; drawn if there is none.
    pub salt: Option<u64>,
    /// How long to trade; without one, until the load is stopped.
    pub duration: Option<Duration>,
    /// Synthetic buyers, each with an account and a connection of its own.
    pub buyers: u32,
    /// Synthetic providers, each with an account and a connection of its own.
    pub providers: u32,
    /// Capabilities; each provider works for one of them.
    pub capabilities: u32,
    /// RFQs per second, all buyers together.
    pub rfqs_per_s: f64,
    /// The share of RFQs that clear at once against the standing quotes.
    pub window_zero_share: f64,
    /// How long the other RFQs collect sealed quotes.
    pub window: DurationNs,
    /// Updates of standing quotes per second, all providers together.
    pub standing_updates_per_s: f64,
    /// The share of sealed quotes that are amended once.
    pub amended_share: f64,
    /// The share of sealed quotes that are canceled again.
    pub canceled_share: f64,
    /// How long a provider works; drawn for each contract.
    pub work: RangeInclusive<Duration>,
    /// The share of deliveries that the buyer leaves to be accepted by silence.
    pub silent_share: f64,
    /// How long silence takes for those.
    pub silence: DurationNs,
    /// What each buyer begins with, and is topped up to.
    pub deposit: Micros,
    /// Whether specs and deliverables are stored, fetched and checked.
    pub blobs: bool,
}

impl LoadConfig {
    /// Returns the usual load: 10 buyers, 50 providers, 4 capabilities, 100 RFQs and 200 updates of
    /// standing quotes a second, over rkyv, until it is stopped.
    pub fn new(address: SocketAddr, trust: Trust, operator_key: SigningKey) -> Self {
        Self {
            address,
            trust,
            codec: Codec::Rkyv,
            operator_key,
            seed: 1,
            salt: None,
            duration: None,
            buyers: 10,
            providers: 50,
            capabilities: 4,
            rfqs_per_s: 100.0,
            window_zero_share: 0.5,
            window: DurationNs::from_millis(100),
            standing_updates_per_s: 200.0,
            amended_share: 0.1,
            canceled_share: 0.05,
            work: Duration::from_millis(1)..=Duration::from_millis(20),
            silent_share: 0.1,
            silence: DurationNs::from_millis(500),
            deposit: Micros::new(100_000_000_000),
            blobs: false,
        }
    }

    /// Checks that everything is within its limits.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let shares =
            [self.window_zero_share, self.amended_share, self.canceled_share, self.silent_share];
        let rates = [self.rfqs_per_s, self.standing_updates_per_s];
        let agents = self.buyers.checked_add(self.providers);
        let rules = [
            (self.buyers > 0 && self.providers > 0, "there must be buyers and providers"),
            (agents.is_some_and(|agents| agents <= AGENTS_MAX), "there are at most 4096 agents"),
            (
                (1..=CAPABILITIES_MAX.min(self.providers)).contains(&self.capabilities),
                "there are at least one and at most 64 capabilities, each with a provider",
            ),
            (
                rates.iter().all(|rate| (0.0..=RATE_PER_S_MAX).contains(rate)),
                "a rate is between zero and a million per second",
            ),
            (shares.iter().all(|share| (0.0..=1.0).contains(share)), "a share is between 0 and 1"),
            (
                self.amended_share + self.canceled_share <= 1.0,
                "a quote is amended or canceled, not both",
            ),
            (
                self.window > DurationNs::ZERO && self.window <= WINDOW_MAX,
                "the window of sealed RFQs is above zero and at most a day",
            ),
            (
                self.silence > DurationNs::ZERO && self.silence <= WORK_TIME_MAX,
                "silence takes some time, and at most 90 days",
            ),
            (!self.work.is_empty(), "the shortest work is not longer than the longest"),
            (
                self.deposit > Micros::ZERO && self.deposit.raw() <= AMOUNT_MAX,
                "the deposit is above zero and at most a billion units",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(LoadError::Invalid(rule)),
            None => Ok(()),
        }
    }

    /// Returns when the trading ends, counted from its beginning.
    pub(crate) fn end(&self) -> Duration {
        self.duration.unwrap_or(Duration::MAX)
    }

    /// Returns how an agent with this key connects.
    pub(crate) fn client(&self, key: SigningKey, cancel_on_disconnect: bool) -> Config {
        Config {
            codec: self.codec,
            cancel_on_disconnect,
            give_up_after: RECONNECT_FOR_MAX,
            ..Config::new(self.address, self.trust.clone(), key)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the usual load for an exchange that is not there.
    pub(crate) fn config() -> LoadConfig {
        let trust = Trust::Roots(Vec::new());
        LoadConfig::new(([127, 0, 0, 1], 1).into(), trust, SigningKey::from_bytes(&[1; 32]))
    }

    #[test]
    fn a_load_outside_its_limits_is_refused_with_the_rule() {
        config().check().unwrap();
        let refused = |change: fn(&mut LoadConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(refused(|c| c.buyers = u32::MAX).contains(&format!("{AGENTS_MAX} agents")));
        assert!(refused(|c| c.rfqs_per_s = f64::NAN).contains("a rate"));
        assert!(refused(|c| c.silent_share = 1.1).contains("a share"));
        assert!(refused(|c| c.capabilities = 51).contains("each with a provider"));
        assert!(refused(|c| c.deposit = Micros::ZERO).contains("deposit"));
    }
}
