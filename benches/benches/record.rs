//! What the journal's thread does to a command before the disk: encode it, and condense its events.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gavel_benches::{NOW, price, set_standing_quote};
use gavel_protocol::{AgentId, CapabilityId, Event, Request, Stamped, StandingQuoteSet};
use gavel_sequencer::journal::{Condenser, Head, Record, encode_command};

/// Commands of one record.
const COMMANDS: u64 = 1_000;

fn stamped(seq: u64) -> Stamped {
    let request = Request { agent: AgentId::new(seq), command: set_standing_quote(seq) };
    Stamped { seq, ts_event: NOW, request }
}

fn event(seq: u64) -> Event {
    Event::StandingQuoteSet(StandingQuoteSet {
        capability: CapabilityId::new(7),
        provider: AgentId::new(seq),
        revision: seq,
        price: price(seq),
        latency_ms: 0,
        capacity: 1_000,
        valid_until: NOW,
    })
}

fn record(c: &mut Criterion) {
    let commands: Vec<_> = (1..=COMMANDS).map(stamped).collect();
    let events: Vec<_> = (1..=COMMANDS).map(event).collect();
    let mut group = c.benchmark_group("journal record");
    group.throughput(Throughput::Elements(COMMANDS));
    let mut bytes = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            bytes.clear();
            commands.iter().for_each(|stamped| encode_command(stamped, &mut bytes));
            black_box(bytes.len())
        });
    });
    let mut condenser = Condenser::default();
    group.bench_function("condense", |b| {
        b.iter(|| {
            condenser.add_all(&events);
            black_box(condenser.finish())
        });
    });
    let (events_hash, mut whole) = (condenser.finish(), bytes);
    group.bench_function("seal", |b| {
        b.iter(|| {
            let record =
                Record::following(&Head::EMPTY, COMMANDS, std::mem::take(&mut whole), events_hash);
            let checksum = record.checksum;
            whole = record.commands;
            black_box(checksum)
        });
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
