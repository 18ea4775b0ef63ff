//! A contract's way through the ledger: held, captured into escrow, settled.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gavel_benches::{NOW, price};
use gavel_protocol::{
    AccountId, AgentId, CapabilityId, ContractId, ContractState, Currency, DurationNs, Micros,
    Parties, RfqId,
};
use gavel_settlement::{Contract, Contracts, Hold, Holds, LatencyClause, Ledger};

/// Accounts. Each pays the next one, so that their money goes round.
const ACCOUNTS: u64 = 10_000;

/// What each has: with the largest price below 2 units, enough for as long as anybody measures.
const MONEY: Micros = Micros::new(100_000_000_000);

const FEE_PPM: u32 = 10_000;

/// Returns the account with a number, counted round; the exchange's own is none of them.
fn account(number: u64) -> AccountId {
    AccountId::new(1_000 + number % ACCOUNTS)
}

fn contract(number: u64) -> Contract {
    let [buyer, provider] = [number, number + 1].map(account);
    Contract {
        id: ContractId::new(number),
        rfq: RfqId::new(number),
        parties: Parties {
            buyer: AgentId::new(buyer.raw()),
            provider: AgentId::new(provider.raw()),
        },
        buyer_account: buyer,
        provider_account: provider,
        capability: CapabilityId::new(1),
        quantity: 1,
        items: None,
        escrow: price(number),
        bond: Micros::ZERO,
        latency: LatencyClause::default(),
        standing_revision: None,
        awarded_at: NOW,
        start_due: None,
        delivery_due: NOW,
        delivered_at: Some(NOW),
        currency: Currency::USD,
        fee_ppm: FEE_PPM,
        acceptance_within: DurationNs::from_secs(1),
        state: ContractState::Delivered,
        deliverable: None,
    }
}

fn ledger(c: &mut Criterion) {
    let (mut ledger, mut holds, mut contracts) = (Ledger::new(), Holds::new(), Contracts::new());
    for number in 0..ACCOUNTS {
        let deposited = ledger.deposit(account(number), MONEY, Currency::USD);
        deposited.expect("far below the limits of the ledger");
    }
    let mut number = 0;
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(1));
    group.bench_function("hold, capture, settle", |b| {
        b.iter(|| {
            number += 1;
            let contract = contract(number);
            let Contract { rfq, buyer_account: account, escrow, currency, .. } = contract;
            let amount = Micros::new(escrow.raw() + 1);
            let hold = Hold { account, amount, currency };
            holds.open(&mut ledger, rfq, hold).expect("everybody has money");
            black_box(holds.capture(&mut ledger, rfq, escrow));
            black_box(holds.refund(&mut ledger, rfq));
            let slot = contracts.conclude(contract);
            black_box(contracts.settle(&mut ledger, slot))
        });
    });
    group.finish();
    ledger.assert_balanced();
}

criterion_group!(benches, ledger);
criterion_main!(benches);
