//! The inputs of the benches: the same commands on every machine and in every run. What this crate
//! does *not* do: measure whole exchanges, which `gavel bench` does.

use gavel_protocol::{
    CapabilityId, ClientId, Command, Currency, Digest, DurationNs, Micros, OpenRfq, RfqTerms,
    SetStandingQuote, TimestampNs,
};

/// When everything happens.
pub const NOW: TimestampNs = TimestampNs::from_nanos(1_800_000_000_000_000_000);

/// Returns the update `revision` of a standing quote.
pub fn set_standing_quote(revision: u64) -> Command {
    Command::SetStandingQuote(SetStandingQuote {
        capability: CapabilityId::new(7),
        revision,
        price: price(revision),
        latency_ms: 0,
        capacity: 1_000,
        valid_until: NOW.after(DurationNs::from_secs(3_600)),
        terms: Digest::new([3; 32]),
    })
}

/// Returns an RFQ with everything that it can have.
pub fn open_rfq(number: u64) -> Command {
    let rfq = RfqTerms {
        window: DurationNs::from_millis(500),
        admit_standing: true,
        delivery_within: DurationNs::from_secs(3_600),
        acceptance_within: DurationNs::from_secs(3_600),
        spec: Digest::new([1; 32]),
        inputs: Some(Digest::new([2; 32])),
        terms: Digest::new([3; 32]),
        ..RfqTerms::plain(CapabilityId::new(7), Currency::USD, price(number))
    };
    let client_id = ClientId::from_parts(NOW, u128::from(number));
    Command::OpenRfq(Box::new(OpenRfq::plain(client_id, rfq)))
}

/// Returns a price: scattered, but the same for the same number.
pub fn price(number: u64) -> Micros {
    // The multiplier of Knuth's multiplicative hashing (The Art of Computer Programming, 6.4).
    let scattered = number.wrapping_mul(2_654_435_761) % 1_000_000;
    Micros::new(1_000_000 + i64::try_from(scattered).unwrap_or_default())
}
