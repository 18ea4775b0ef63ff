//! What is full says so, with a typed reason, and leaves the state as it was.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use gavel_protocol::*;
use gavel_tests::market::Market;
use gavel_tests::rfq;

fn open(market: &mut Market, buyer: usize) -> Event {
    let (client_id, mut rfq) = (market.client_id(), rfq(market.capability, 1_000));
    rfq.reserve = Micros::new(1_000);
    let open = OpenRfq::plain(client_id, rfq);
    market.apply(market.agents[buyer], Command::OpenRfq(Box::new(open)))
}

fn quote(market: &mut Market, provider: usize, rfq: RfqId) -> Event {
    let (client_id, price) = (market.client_id(), Micros::new(900));
    let valid_until = TimestampNs::MAX;
    let place =
        PlaceQuote { client_id, rfq, offer: Offer::new(price, valid_until), signature: None };
    market.apply(market.agents[provider], Command::PlaceQuote(place))
}

fn assert_rejected(event: Event, reason: RejectReason) {
    assert_eq!(event, Event::Rejected(Rejected { reason }));
}

#[test]
fn an_rfq_takes_4096_quotes_and_closes_with_a_reason_for_each() {
    let mut market = Market::new(4_098, || 0);
    let Event::RfqOpened(opened) = open(&mut market, 0) else { panic!("it opens") };
    for provider in 1..=4_096 {
        let placed = quote(&mut market, provider, opened.rfq);
        assert!(matches!(placed, Event::QuotePlaced(_)), "{placed:?}");
    }
    let before = market.exchange.state_hash();
    assert_rejected(quote(&mut market, 4_097, opened.rfq), RejectReason::RfqFull);
    assert_eq!(market.exchange.state_hash(), before);
    market.now = market.now.after(DurationNs::from_secs(1));
    market.advance();
    assert_eq!(market.exchange.trial_balance(), 0);
    assert_rejected(quote(&mut market, 4_097, opened.rfq), RejectReason::TooLate);
}

#[test]
fn an_account_opens_4096_rfqs_and_no_more() {
    let mut market = Market::new(2, || 0);
    for _ in 0..4_096 {
        let opened = open(&mut market, 0);
        assert!(matches!(opened, Event::RfqOpened(_)), "{opened:?}");
    }
    let before = market.exchange.state_hash();
    assert_rejected(open(&mut market, 0), RejectReason::RfqLimit);
    assert_eq!(market.exchange.state_hash(), before);
    let other = open(&mut market, 1);
    assert!(matches!(other, Event::RfqOpened(_)), "another account is not held up: {other:?}");
    // Every one of them is due at the same time: bounded steps close them all.
    market.now = market.now.after(DurationNs::from_secs(1));
    market.advance();
    assert!(matches!(open(&mut market, 0), Event::RfqOpened(_)));
    assert_eq!(market.exchange.trial_balance(), 0);
}
