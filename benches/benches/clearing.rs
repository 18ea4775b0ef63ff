//! Clearing an RFQ, beside the sort that it cannot do without.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gavel_benches::{NOW, price};
use gavel_matcher::{Candidate, Clearing, Owner, Slots, clear};
use gavel_protocol::{
    AccountId, AgentId, CapabilityId, Currency, Micros, Offer, QuoteId, QuoteRef, RfqTerms,
};

/// What is asked for: everything is below the reserve.
fn terms() -> RfqTerms {
    RfqTerms::plain(CapabilityId::new(1), Currency::USD, Micros::new(10_000_000))
}

fn candidate(number: u64) -> Candidate {
    let owner = Owner {
        agent: AgentId::new(number),
        account: AccountId::new(number),
        slots: Slots::default(),
    };
    Candidate {
        owner,
        quote: QuoteRef::Sealed(QuoteId::new(number)),
        offer: Offer::new(price(number), NOW),
        bond: Micros::ZERO,
        reputation_bps: 5_000,
        priority: number,
        barred: None,
    }
}

/// Returns a key like the one that the matcher sorts by: price, place, index.
fn packed(number: u64) -> u128 {
    let price = u128::from(price(number).raw().unsigned_abs());
    price << 64 | u128::from(number) << 16 | u128::from(number)
}

fn clearing(c: &mut Criterion) {
    let terms = terms();
    let mut group = c.benchmark_group("clearing");
    for quotes in [10_u64, 100, 1_000, 4_096] {
        group.throughput(Throughput::Elements(quotes));
        let (mut clearing, mut ranking) = (Clearing::new(), Vec::new());
        clearing.candidates.extend((0..quotes).map(candidate));
        group.bench_function(BenchmarkId::new("clear", quotes), |b| {
            b.iter(|| {
                ranking.clear();
                black_box(clear(&mut clearing, &terms, &mut ranking))
            });
        });
        let keys: Vec<_> = (0..quotes).map(packed).collect();
        let mut sorted = keys.clone();
        group.bench_function(BenchmarkId::new("bare sort", quotes), |b| {
            b.iter(|| {
                sorted.copy_from_slice(&keys);
                sorted.sort_unstable();
                black_box(sorted[0])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, clearing);
criterion_main!(benches);
