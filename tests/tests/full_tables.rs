//! Books and tables that are full: scenarios too long to write out.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use gavel_matcher::limits::{QUOTES_PER_RFQ_MAX, STANDING_VISITED_MAX};
use gavel_protocol::limits::AWARDS_PER_RFQ_MAX;
use gavel_protocol::{
    AgentId, Command, Currency, DeclineRfq, DurationNs, Event, Micros, NoQuoteReason, Offer,
    OpenRfq, PlaceQuote, RejectReason, RfqOpened, RfqTerms, TimestampNs,
};
use gavel_risk::limits::CONTRACTS_PROMISED_PER_ACCOUNT_MAX;
use gavel_simulator::scenario;
use gavel_tests::market::Market;

/// Returns what follows from the lines.
fn output(lines: impl IntoIterator<Item = String>) -> String {
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    scenario::run(&text).unwrap().output
}

/// Returns a line for each of the providers `x1`, `x2`, … that a close looks at.
fn for_each_in_front(line: impl Fn(usize) -> String) -> impl Iterator<Item = String> {
    (1..=STANDING_VISITED_MAX).map(line)
}

#[test]
fn a_book_as_long_as_what_is_at_hand_hides_nobody() {
    let first = for_each_in_front(|n| format!("standing x{n} 1.00"));
    let behind = ["deposit acme 200.00", "standing good 10.00"].map(String::from);
    let most_go = (1..STANDING_VISITED_MAX).map(|n| format!("cancel-standing x{n}"));
    let rfq = ["rfq acme #1 reserve=50.00 quantity=2 split=yes".to_owned()];
    let output = output(first.chain(behind).chain(most_go).chain(rfq));
    let last = STANDING_VISITED_MAX;
    for won in [format!("awarded #1 x{last} 1.00\n"), "awarded #1 good 10.00\n".to_owned()] {
        assert!(output.contains(&won), "{won} is not in:\n{output}");
    }
}

#[test]
fn expired_quotes_hide_nobody_however_many_there_are() {
    let expired = for_each_in_front(|n| format!("standing x{n} 1.00 valid=1s"));
    let more = (0..STANDING_VISITED_MAX).map(|n| format!("standing y{n} 2.00 valid=1s"));
    let rest = [
        "standing good 10.00",
        "deposit acme 200.00",
        "advance 2s",
        "rfq acme #1 reserve=50.00",
        "snapshot",
        "rfq acme #2 reserve=50.00",
    ];
    let output = output(expired.chain(more).chain(rest.map(String::from)));
    assert!(output.contains("awarded #1 good 10.00\n"), "{output}");
    assert!(output.contains("passed #2\n"), "{output}");
}

#[test]
fn one_account_cannot_promise_itself_every_contract() {
    let per_rfq = AWARDS_PER_RFQ_MAX;
    let most = CONTRACTS_PROMISED_PER_ACCOUNT_MAX / per_rfq;
    let first = ["deposit greedy 1.00", "deposit acme 200.00"].map(String::from);
    let rfqs = (0..=most).map(|n| {
        format!("rfq greedy #{n} reserve=0.000001 quantity={per_rfq} split=yes window=1h")
    });
    let last = ["rfq acme #9999 reserve=50.00".to_owned()];
    let output = output(first.into_iter().chain(rfqs).chain(last));
    let expected = format!("rejected rfq greedy #{most} rfq_limit\nrefunded acme 50.00\n");
    assert!(output.starts_with(&expected), "{output}");
}

#[test]
fn a_full_rfq_takes_no_further_quote_unless_it_replaces_a_decline() {
    let full = QUOTES_PER_RFQ_MAX as usize;
    let mut market = Market::new(full + 2, || 0);
    let (agents, capability) = (market.agents.clone(), market.capability);
    let mut terms = RfqTerms::plain(capability, Currency::USD, Micros::new(50));
    terms.window = DurationNs::from_secs(1);
    let open = Command::OpenRfq(Box::new(OpenRfq::plain(market.client_id(), terms)));
    let Event::RfqOpened(RfqOpened { rfq, .. }) = market.apply(agents[0], open) else {
        panic!("it is opened");
    };
    let quote = |market: &mut Market, agent: AgentId| {
        let (client_id, offer) =
            (market.client_id(), Offer::new(Micros::new(40), TimestampNs::MAX));
        let place = PlaceQuote { client_id, rfq, offer, signature: None };
        market.apply(agent, Command::PlaceQuote(place)).outcome()
    };
    for provider in &agents[1..full] {
        assert!(quote(&mut market, *provider).is_ok());
    }
    let decline = DeclineRfq { client_id: market.client_id(), rfq, reason: NoQuoteReason::Policy };
    let late = agents[full];
    assert!(market.apply(late, Command::DeclineRfq(decline)).outcome().is_ok());
    let hash = market.exchange.state_hash();
    assert_eq!(quote(&mut market, agents[full + 1]), Err(RejectReason::RfqFull));
    assert_eq!(market.exchange.state_hash(), hash);
    assert!(quote(&mut market, late).is_ok(), "in the place of its decline");
}
