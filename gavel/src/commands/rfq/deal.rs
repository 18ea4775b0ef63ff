//! One contract of an RFQ, from its award to its end.

use std::fmt;

use gavel_protocol::{Awarded, Breakdown, Digest, Micros};
use serde_json::{Value, json};

/// A contract of the buyer's.
pub struct Deal {
    /// What was awarded.
    pub awarded: Awarded,
    /// The digest and the length of what was delivered.
    pub deliverable: Option<(Digest, usize)>,
    /// How it ended.
    pub result: Option<DealResult>,
}

/// How a contract ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DealResult {
    /// The work is done and paid.
    Settled,
    /// Nothing was delivered; the money is back.
    Expired,
    /// The provider failed, and a runner-up has a contract of its own.
    TakenOver,
}

impl Deal {
    /// Begins with an award.
    pub fn new(awarded: Awarded) -> Self {
        Self { awarded, deliverable: None, result: None }
    }

    /// Returns the contract for machines.
    pub fn json(&self) -> Value {
        let Awarded { contract, parties, breakdown, price, quantity, .. } = self.awarded;
        let Awarded { total, currency, bundle, .. } = self.awarded;
        let (digest, bytes) = self.deliverable.unzip();
        json!({
            "contract": contract,
            "provider": parties.provider,
            "price_micros": price,
            "quantity": quantity,
            "items": bundle.map(|bundle| bundle.items),
            "total_micros": total,
            "currency": currency,
            "score_micros": total_score(&breakdown),
            "breakdown": breakdown,
            "deliverable": digest,
            "deliverable_bytes": bytes,
            "result": self.result.map(DealResult::name),
        })
    }
}

impl DealResult {
    fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Expired => "expired",
            Self::TakenOver => "taken_over",
        }
    }
}

impl fmt::Display for Deal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Awarded { contract, total, currency, .. } = self.awarded;
        match self.result {
            Some(DealResult::Settled) => {
                write!(f, "{contract} is settled: {total} {currency} paid")
            }
            Some(DealResult::Expired) => {
                write!(f, "{contract} expired: nothing was delivered, the money is back")
            }
            Some(DealResult::TakenOver) => write!(f, "{contract} was taken over"),
            None => write!(f, "{contract} is open"),
        }
    }
}

/// Returns why an award was made, in its parts.
pub fn score(awarded: &Awarded) -> String {
    let Breakdown { price, latency_ms, latency, reputation_bps, reputation } = awarded.breakdown;
    let score = total_score(&awarded.breakdown);
    format!(
        "score {score} = price {price} + {latency} for {latency_ms} ms + {reputation} for a \
         reputation of {reputation_bps}"
    )
}

fn total_score(breakdown: &Breakdown) -> Micros {
    let Breakdown { price, latency, reputation, .. } = *breakdown;
    Micros::new(price.raw().saturating_add(latency.raw()).saturating_add(reputation.raw()))
}
