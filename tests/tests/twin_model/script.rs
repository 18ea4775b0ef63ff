//! Random scripts.

use proptest::prelude::*;

use super::*;

/// Returns one market's script.
pub fn script() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 0..=COMMANDS_MAX)
}

/// Operations of a script at the most.
pub const COMMANDS_MAX: usize = 300;

/// What ends each market: nothing is left open after it.
pub fn epilogue() -> Vec<Op> {
    let reopen = |capability| Op::Reopen { capability };
    let mut ops = vec![reopen(None)];
    ops.extend((0..CAPABILITIES).map(|at| reopen(Some(at))));
    ops.push(Op::Wait { time: 60_000 * MS });
    ops
}

fn who() -> impl Strategy<Value = usize> {
    0..AGENTS
}

/// Mostly whoever may do it, sometimes just anybody.
fn owner() -> impl Strategy<Value = usize> {
    0..AGENTS * 8
}

/// Names something that is there, once it is chosen: mostly one of the latest.
fn any_of() -> impl Strategy<Value = usize> {
    let how_old = prop_oneof![6 => 0_usize..2, 2 => 0_usize..5, 1 => 0_usize..64];
    (how_old, 0_usize..16).prop_map(|(how_old, stray)| how_old * 16 + stray)
}

/// Prices meet often, so that there are ties.
fn price() -> impl Strategy<Value = i64> {
    prop_oneof![4 => (3_i64..7).prop_map(|price| price * 100), 1 => (1_i64..12).prop_map(|price| price * 100), 1 => 90_i64..1_200]
}

/// Zero half of the time, so that most RFQs are simple.
fn or_zero(one_of: Vec<i64>) -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), prop::sample::select(one_of)]
}

fn time(one_of_ms: Vec<u64>) -> impl Strategy<Value = u64> {
    prop::sample::select(one_of_ms).prop_map(|ms| ms * MS)
}

fn offer() -> BoxedStrategy<Offer> {
    let quantity = prop_oneof![2 => Just(1_000_000), 3 => 1_u32..6];
    let standby = prop::option::of(time(vec![500, 2_000, 5_000, 20_000]));
    let valid = time(vec![100, 1_000, 3_600_000, 3_600_000, 3_600_000, 3_600_000]);
    let latency = prop_oneof![2 => Just(0), 1 => 0_u32..400];
    (price(), quantity, prop::bool::weighted(0.25), latency, valid, standby)
        .prop_map(|(price, quantity, all_or_none, latency_ms, valid_for, standby_for)| Offer {
            price,
            quantity,
            all_or_none,
            latency_ms,
            valid_for,
            standby_for,
        })
        .boxed()
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![
        4 => Just(Format::First),
        3 => Just(Format::Second),
        3 => Just(Format::Dutch),
        3 => Just(Format::Choice),
    ]
}

fn exclusive() -> BoxedStrategy<Exclusive> {
    (who(), time(vec![100, 250, 1_000]), or_zero(vec![1, 50, 333, 5_000]))
        .prop_map(|(who, until, beatable_by_bps)| Exclusive { who, until, beatable_by_bps })
        .boxed()
}

fn terms() -> BoxedStrategy<Terms> {
    let units = (1_u32..6, any::<bool>(), 500_i64..1_300, 0..CAPABILITIES);
    let times = (
        time(vec![0, 300, 400, 1_000, 2_000]),
        any::<bool>(),
        time(vec![200, 500]),
        any::<bool>(),
        time(vec![800, 1_500]),
        time(vec![100, 400]),
    );
    let counts = (or_zero(vec![1, 2, 7]), or_zero(vec![1]));
    let who_may = (
        prop_oneof![3 => Just(0), 1 => prop::sample::select(vec![3_700, 5_000, 5_001, 5_100])],
        prop::bool::weighted(0.1),
        or_zero(vec![1, 500, 3_333, 10_000]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    let directed = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::sample::subsequence((0..AGENTS).collect::<Vec<_>>(), 1..4),
    ];
    let curve = prop::collection::vec(price().prop_map(|price| (0, price)), 2..5);
    (units, format(), times, counts, who_may, directed, curve, prop::option::of(exclusive()))
        .prop_map(|(units, format, times, counts, who_may, invited, curve, exclusive)| Terms {
            capability: units.3,
            quantity: units.0,
            split: units.1,
            reserve: units.2,
            format,
            window: times.0,
            cutoff: if times.1 { times.0 / 2 } else { 0 },
            close_early: who_may.6,
            pick_within: times.2,
            admit: who_may.5,
            latency_per_ms: counts.0,
            reputation_per_bps: counts.1,
            reputation_min: who_may.0,
            in_eu: who_may.1,
            // Standing quotes cannot be asked for a bond.
            bond_bps: if who_may.5 || times.0 == 0 { 0 } else { who_may.2 },
            top_up: who_may.3,
            disclose: who_may.4,
            start_within: if times.3 { times.4 / 2 } else { 0 },
            delivery_within: times.4,
            acceptance_within: times.5,
            invited,
            curve,
            exclusive,
        })
        .boxed()
}

/// Returns an operation: first what is about RFQs, then what is about contracts, then the rest.
fn op() -> BoxedStrategy<Op> {
    prop_oneof![
        50 => business(),
        20 => work(),
        9 => waiting(),
        4 => operators(),
    ]
    .boxed()
}

/// Boxed one by one: a choice carries all of its alternatives, and these are large.
fn business() -> BoxedStrategy<Op> {
    let open = (who(), terms())
        .prop_map(|(who, terms)| Op::Open { who, terms: Box::new(terms.tidy(who)) });
    let cancel_rfq = (owner(), any_of()).prop_map(|(who, rfq)| Op::CancelRfq { who, rfq });
    let quote =
        (who(), any_of(), offer()).prop_map(|(who, rfq, offer)| Op::Quote { who, rfq, offer });
    let amend = (owner(), any_of(), offer(), any::<[bool; 6]>())
        .prop_map(|(who, quote, offer, keep)| Op::Amend { who, quote, offer, keep });
    let cancel_quote = (owner(), any_of()).prop_map(|(who, quote)| Op::CancelQuote { who, quote });
    let decline = (who(), any_of()).prop_map(|(who, rfq)| Op::Decline { who, rfq });
    let take = (who(), any_of(), 1_u32..6, prop_oneof![Just(1), price()])
        .prop_map(|(who, rfq, quantity, limit)| Op::Take { who, rfq, quantity, limit });
    let pick =
        (owner(), any_of(), any_of()).prop_map(|(who, rfq, quote)| Op::Pick { who, rfq, quote });
    let cancel_standing = (who(), 0..CAPABILITIES)
        .prop_map(|(who, capability)| Op::CancelStanding { who, capability });
    prop_oneof![
        10 => open.boxed(),
        1 => cancel_rfq.boxed(),
        30 => quote.boxed(),
        5 => amend.boxed(),
        1 => cancel_quote.boxed(),
        2 => decline.boxed(),
        6 => take.boxed(),
        4 => pick.boxed(),
        5 => standing(),
        1 => cancel_standing.boxed(),
    ]
    .boxed()
}

fn standing() -> BoxedStrategy<Op> {
    let latency = prop_oneof![2 => Just(0), 1 => 0_u32..400];
    let valid = time(vec![300, 3_000, 3_600_000, 3_600_000]);
    (who(), 0..CAPABILITIES, price(), latency, 1_u32..6, valid, any::<bool>())
        .prop_map(|(who, capability, price, latency_ms, capacity, valid_for, keep)| Op::Standing {
            who,
            capability,
            price,
            latency_ms,
            capacity,
            valid_for,
            keep,
        })
        .boxed()
}

fn work() -> BoxedStrategy<Op> {
    prop_oneof![
        1 => (owner(), any_of()).prop_map(|(who, contract)| Op::Start { who, contract }),
        6 => (owner(), any_of()).prop_map(|(who, contract)| Op::Deliver { who, contract }),
        3 => (owner(), any_of()).prop_map(|(who, contract)| Op::Accept { who, contract }),
    ]
    .boxed()
}

fn waiting() -> BoxedStrategy<Op> {
    let short =
        (0_u64..2, 0_u64..100_000).prop_map(|(unit, us)| Op::Wait { time: unit * 100 * MS + us });
    let round = time(vec![50, 100, 200, 300]).prop_map(|time| Op::Wait { time });
    let minutes = time(vec![61_000, 130_000]).prop_map(|time| Op::Wait { time });
    let days = (0_u64..4, 0_u64..DAY).prop_map(|(days, us)| Op::Wait { time: days * DAY + us });
    prop_oneof![30 => short, 20 => round, 4 => minutes, 1 => days].boxed()
}

fn operators() -> BoxedStrategy<Op> {
    let some_capability = || prop::option::of(0..CAPABILITIES);
    let band = prop::option::of((1_i64..5, 4_i64..12));
    prop_oneof![
        5 => (who(), 1_i64..4_000).prop_map(|(who, amount)| Op::Deposit { who, amount }),
        1 => (0..CAPABILITIES, band).prop_map(|(capability, band)| Op::Band {
            capability,
            band: band.map(|(low, high)| (low * 100, high * 100)),
        }),
        1 => some_capability().prop_map(|capability| Op::Halt { capability }),
        12 => some_capability().prop_map(|capability| Op::Reopen { capability }),
    ]
    .boxed()
}
