//! After warm-up the core allocates nothing: not for quotes, closes, awards, deliveries, payments.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gavel_protocol::*;
use gavel_tests::market::{Market, digest};

/// The system's allocator, with a count per thread.
struct Counted;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator with the arguments it came with; counting does
// not allocate, because the counter is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// RFQs of every format, with and without a window.
fn rfqs(capability: CapabilityId) -> [RfqTerms; 6] {
    let plain = RfqTerms {
        window: DurationNs::from_millis(100),
        delivery_within: DurationNs::from_secs(1),
        acceptance_within: DurationNs::from_secs(1),
        terms: gavel_tests::terms(),
        ..RfqTerms::plain(capability, Currency::USD, Micros::new(5_000))
    };
    let several = RfqTerms { quantity: 3, split: true, ..plain };
    [
        RfqTerms { window: DurationNs::ZERO, ..plain },
        RfqTerms { admit_standing: true, ..plain },
        RfqTerms { format: Format::SecondPrice, top_up: true, ..several },
        RfqTerms { bond_bps: 1_000, ..plain },
        RfqTerms {
            format: Format::BuyersChoice,
            pick_within: DurationNs::from_millis(100),
            ..plain
        },
        RfqTerms { format: Format::Dutch, ..several },
    ]
}

fn curve(rfq: &RfqTerms) -> DutchTerms {
    let begin = CurvePoint { after: DurationNs::ZERO, price: Micros::new(1) };
    let end = CurvePoint { after: rfq.window, price: rfq.reserve };
    DutchTerms { curve: vec![begin, end], exclusive: None }
}

/// An RFQ for three items, a bundle and a single from each provider, and an allocation that is proposed.
fn clear_bundles(market: &mut Market) {
    let (agents, client_id) = (market.agents.clone(), market.client_id());
    let valid_until = market.now.after(DurationNs::from_secs(3_600));
    let bundles = BundleTerms {
        items: vec![Item { quantity: 1, load: 1, reserve: Micros::new(5_000) }; 3],
        free_disposal: false,
        all_or_none: false,
        payment: PaymentRule::PayAsBid,
        clearing_within: DurationNs::from_millis(1),
        external_solvers: false,
    };
    let plain = RfqTerms::plain(market.capability, Currency::USD, bundles.reserve().unwrap());
    let rfq = RfqTerms {
        format: Format::Combinatorial,
        window: DurationNs::from_millis(100),
        delivery_within: DurationNs::from_secs(1),
        acceptance_within: DurationNs::from_secs(1),
        terms: gavel_tests::terms(),
        ..plain
    };
    let open = OpenRfq { bundles: Some(Box::new(bundles)), ..OpenRfq::plain(client_id, rfq) };
    let opened = market.apply(agents[0], Command::OpenRfq(Box::new(open)));
    let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
    for (agent, price) in agents[1..].iter().zip(4_000..) {
        let client_id = market.client_id();
        let bundle = |items: &[u8], price| {
            let items = items.iter().copied().collect();
            Bundle { items, price: Micros::new(price), latency_ms: 0 }
        };
        let standby_until = Some(valid_until);
        let group = NewGroup { rule: GroupRule::Xor, valid_until, standby_until };
        let quote = QuoteBundles {
            client_id,
            rfq: opened.rfq,
            group: BundleGroup::New(group),
            bundles: vec![bundle(&[0, 1], 2 * price), bundle(&[2], price)],
            signature: None,
        };
        let quoted = market.apply(*agent, Command::QuoteBundles(Box::new(quote)));
        assert!(matches!(quoted, Event::BundlesQuoted(_)), "{quoted:?}");
    }
    market.now = opened.closes_at;
    market.advance();
    let proposal = ProposeAllocation {
        rfq: opened.rfq,
        winners: vec![0, 1],
        surplus: Micros::new(15_000),
        bound: Some(Micros::new(15_000)),
        prices: None,
        payments: Vec::new(),
    };
    // Whether these may win does not matter here: it is checked all the same.
    market.apply(AgentId::EXCHANGE, Command::ProposeAllocation(Box::new(proposal)));
    market.now = market.now.after(DurationNs::from_millis(1));
    market.advance();
}

/// One round of everything: standing quotes, RFQs of both kinds, quotes, closes, payments, refunds.
fn round(market: &mut Market, number: u64) {
    let (agents, capability) = (market.agents.clone(), market.capability);
    let valid_until = market.now.after(DurationNs::from_secs(3_600));
    for (agent, price) in agents[1..].iter().zip(1..) {
        let quote = SetStandingQuote {
            capability,
            revision: number,
            price: Micros::new(1_000 + price),
            latency_ms: 0,
            capacity: 1,
            valid_until,
            terms: gavel_tests::terms(),
        };
        market.apply(*agent, Command::SetStandingQuote(quote));
    }
    for rfq in rfqs(capability) {
        let client_id = market.client_id();
        let dutch = (rfq.format == Format::Dutch).then(|| curve(&rfq));
        let is_sealed = rfq.window > DurationNs::ZERO && dutch.is_none();
        let open = OpenRfq { dutch, ..OpenRfq::plain(client_id, rfq) };
        let opened = market.apply(agents[0], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
        for agent in agents[1..].iter().filter(|_| is_sealed) {
            let mut offer =
                Offer::new(Micros::new(900 + i64::try_from(number).unwrap()), valid_until);
            offer.standby_until = Some(valid_until);
            let (client_id, rfq, signature) = (market.client_id(), opened.rfq, None);
            let place = PlaceQuote { client_id, rfq, offer, signature };
            let placed = market.apply(*agent, Command::PlaceQuote(place));
            assert!(matches!(placed, Event::QuotePlaced(_)), "{placed:?}");
        }
        market.now = market.now.after(opened.terms.window).before(DurationNs::from_millis(1));
        if opened.terms.format == Format::Dutch {
            let (client_id, limit, signature) = (market.client_id(), Micros::new(1), None);
            let take = TakeRfq { client_id, rfq: opened.rfq, quantity: 1, limit, signature };
            let taken = market.apply(agents[1], Command::TakeRfq(take));
            assert!(matches!(taken, Event::RfqTaken(_)), "{taken:?}");
        }
        market.now = market.now.after(DurationNs::from_millis(1)).after(opened.terms.pick_within);
        market.advance();
    }
    clear_bundles(market);
    // One contract is delivered and paid, the others expire.
    let statement = market.exchange.statement(agents[0], market.now).unwrap();
    let paid = &statement.contracts[0];
    let (client_id, contract) = (market.client_id(), paid.contract);
    let deliver = Deliver { client_id, contract, deliverable: digest(4) };
    market.apply(paid.parties.provider, Command::Deliver(deliver));
    let client_id = market.client_id();
    market.apply(agents[0], Command::AcceptDelivery(AcceptDelivery { client_id, contract }));
    // Who failed is forgiven after a day; who stands by takes over, and fails in turn.
    for _ in 0..20 {
        market.now = market.now.after(DurationNs::from_secs(2));
        market.advance();
    }
    market.now = market.now.after(DurationNs::from_secs(40 * 24 * 3_600));
    market.advance();
    assert!(market.exchange.statement(agents[0], market.now).unwrap().contracts.is_empty());
}

#[test]
fn after_warm_up_the_core_allocates_nothing() {
    let mut market = Market::new(40, || ALLOCATIONS.get());
    for number in 1..10 {
        round(&mut market, number);
    }
    market.allocated = 0;
    for number in 10..60 {
        round(&mut market, number);
    }
    assert_eq!(market.allocated, 0, "the core allocated {} times", market.allocated);
}
