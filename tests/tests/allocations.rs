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

/// One round of everything: standing quotes, RFQs of both kinds, quotes, closes, payments, refunds.
fn round(market: &mut Market, number: u64) {
    let (agents, capability) = (market.agents.clone(), market.capability);
    let valid_until = market.now.after(DurationNs::from_secs(3_600));
    for (agent, price) in agents[1..].iter().zip(1..) {
        let quote = SetStandingQuote {
            capability,
            revision: number,
            price: Micros::new(1_000 + price),
            capacity: 1,
            valid_until,
            terms: gavel_tests::terms(),
            signature: None,
        };
        market.apply(*agent, Command::SetStandingQuote(quote));
    }
    for window_ms in [0, 100, 200] {
        let rfq = RfqTerms {
            capability,
            currency: Currency::USD,
            quantity: 1,
            reserve: Micros::new(5_000),
            format: Format::FirstPrice,
            window: DurationNs::from_millis(window_ms),
            admit_standing: true,
            disclosure: Disclosure::ClearingPrice,
            delivery_within: DurationNs::from_secs(1),
            acceptance_within: DurationNs::from_secs(1),
            spec: digest(3),
            inputs: None,
            terms: gavel_tests::terms(),
        };
        let (client_id, signature) = (market.client_id(), None);
        let open = OpenRfq { client_id, rfq, signature };
        let opened = market.apply(agents[0], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
        for agent in agents[1..].iter().filter(|_| window_ms > 0) {
            let (client_id, signature) = (market.client_id(), None);
            let (rfq, price) = (opened.rfq, Micros::new(900 + i64::try_from(number).unwrap()));
            let place = PlaceQuote { client_id, rfq, price, valid_until, signature };
            let placed = market.apply(*agent, Command::PlaceQuote(place));
            assert!(matches!(placed, Event::QuotePlaced(_)), "{placed:?}");
        }
        market.now = market.now.after(DurationNs::from_millis(window_ms));
        market.advance();
    }
    // One contract is delivered and paid, the others expire.
    let statement = market.exchange.statement(agents[0], market.now).unwrap();
    let paid = &statement.contracts[0];
    let (client_id, contract) = (market.client_id(), paid.contract);
    let deliver = Deliver { client_id, contract, deliverable: digest(4) };
    market.apply(paid.parties.provider, Command::Deliver(deliver));
    let client_id = market.client_id();
    market.apply(agents[0], Command::AcceptDelivery(AcceptDelivery { client_id, contract }));
    market.now = market.now.after(DurationNs::from_secs(2));
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
