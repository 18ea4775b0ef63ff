//! Clearing an RFQ, beside the sort that it cannot do without.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gavel_benches::price;
use gavel_matcher::{Candidate, Clearing, clear};
use gavel_protocol::{AccountId, AgentId, Micros, QuoteId, QuoteRef};

/// Above every price.
const RESERVE: Micros = Micros::new(10_000_000);

fn candidate(number: u64) -> Candidate {
    Candidate {
        provider: AgentId::new(number),
        account: AccountId::new(number),
        quote: QuoteRef::Sealed(QuoteId::new(number)),
        price: price(number),
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
    let mut group = c.benchmark_group("clearing");
    for quotes in [10_u64, 100, 1_000, 4_096] {
        group.throughput(Throughput::Elements(quotes));
        let (mut clearing, mut ranking) = (Clearing::new(), Vec::new());
        let candidates: Vec<_> = (0..quotes).map(candidate).collect();
        group.bench_function(BenchmarkId::new("clear", quotes), |b| {
            b.iter(|| {
                clearing.candidates.clear();
                clearing.candidates.extend_from_slice(&candidates);
                ranking.clear();
                black_box(clear(&mut clearing, RESERVE, &mut ranking))
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
