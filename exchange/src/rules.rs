//! Checks that several commands share: halts, bands, signatures, rates, eligibility.

use gavel_matcher::Owner;
use gavel_protocol::{
    CapabilityId, Digest, DurationNs, Micros, RejectReason, RfqTerms, TimestampNs,
};

use crate::directory::Agent;
use crate::exchange::Exchange;

impl Exchange {
    /// Checks that a capability takes new business.
    pub(crate) fn check_not_halted(&self, capability: CapabilityId) -> Result<(), RejectReason> {
        match self.directory.capability(capability) {
            Ok(capability) if capability.halted => Err(RejectReason::Halted),
            // What is unknown is named by a later check.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Returns whether a capability is listed with these terms.
    pub(crate) fn lists(&self, capability: CapabilityId, terms: Digest) -> bool {
        self.directory.capability(capability).is_ok_and(|known| known.listed.terms == terms)
    }

    /// Checks that a price per unit lies in the capability's band.
    pub(crate) fn check_band(
        &self,
        capability: CapabilityId,
        price: Micros,
    ) -> Result<(), RejectReason> {
        self.check_band_of(capability, (price, 1))
    }

    /// Checks that a price for so many units lies in the capability's band.
    pub(crate) fn check_band_of(
        &self,
        capability: CapabilityId,
        (price, units): (Micros, u32),
    ) -> Result<(), RejectReason> {
        match self.directory.capability(capability)?.band {
            Some(band) if !band.admits(price, units) => Err(RejectReason::PriceOutsideBand),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that nobody needs to sign.
    pub(crate) fn check_unsigned(&self) -> Result<(), RejectReason> {
        if self.settings().signatures_required {
            return Err(RejectReason::SignatureMissing);
        }
        Ok(())
    }

    /// Checks that an agent may send another quote in this second.
    pub(crate) fn check_quote_rate(&self, asker: Owner) -> Result<(), RejectReason> {
        let rate = self.directory.at(asker.slots.agent).quote_rate;
        rate.check(self.clock.now, self.settings().quotes_per_s_max)
    }

    /// Counts a quote that was accepted.
    pub(crate) fn count_quote(&mut self, asker: Owner) {
        if self.settings().quotes_per_s_max > 0 {
            self.directory.at_mut(asker.slots.agent).quote_rate.count(self.clock.now);
        }
    }

    /// Returns how long the Dutch prices of a capability have stood still so far.
    pub(crate) fn stopped_until_now(&self, capability: CapabilityId) -> DurationNs {
        let capability = self.directory.capability(capability);
        capability.map_or(DurationNs::ZERO, |c| c.stops.until(self.clock.market_now()))
    }
}

/// Returns whether an agent has what an RFQ asks for at that time.
pub(crate) fn is_eligible(agent: &Agent, terms: &RfqTerms, at: TimestampNs) -> bool {
    let asked = &terms.eligibility;
    agent.attributes.has_all(asked.attributes)
        && (asked.reputation_min_bps == 0 || agent.reputation.at(at) >= asked.reputation_min_bps)
}
