//! What the formats promise, checked from outside: figures that others have published, dominance by
//! a search for deviations, and what must not change when a losing quote goes.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use gavel_matcher::{Candidate, Clearing, Fill, Owner, Slots, clear};
use gavel_protocol::{
    AccountId, AgentId, CapabilityId, Currency, Format, LossReason, Micros, Offer, QuoteId,
    QuoteRef, Ranked, RankedResult, RfqTerms, Scoring, TimestampNs,
};
use proptest::prelude::*;

/// A quote as these tests name it; its agent and its place are its number.
#[derive(Clone, Copy, Debug)]
struct Quote {
    account: u64,
    price: i64,
    latency_ms: u32,
    quantity: u32,
}

fn quote(account: u64, price: i64) -> Quote {
    Quote { account, price, latency_ms: 0, quantity: 1 }
}

fn terms(format: Format, reserve: i64) -> RfqTerms {
    let capability = CapabilityId::new(1);
    RfqTerms { format, ..RfqTerms::plain(capability, Currency::USD, Micros::new(reserve)) }
}

fn candidate(number: u64, quote: &Quote) -> Candidate {
    let mut offer = Offer::new(Micros::new(quote.price), TimestampNs::MAX);
    (offer.latency_ms, offer.quantity) = (quote.latency_ms, quote.quantity);
    let (agent, account) = (AgentId::new(number), AccountId::new(quote.account));
    Candidate {
        owner: Owner { agent, account, slots: Slots::default() },
        quote: QuoteRef::Sealed(QuoteId::new(number)),
        offer,
        bond: Micros::ZERO,
        reputation_bps: 5_000,
        priority: number,
        barred: None,
    }
}

/// Clears, and returns who won how much at what price, by number, and the ranked list.
fn cleared(quotes: &[Quote], terms: &RfqTerms) -> (Vec<(u64, u32, i64)>, Vec<Ranked>) {
    let mut clearing = Clearing::new();
    clearing.candidates.extend((0..).zip(quotes).map(|(number, quote)| candidate(number, quote)));
    let mut ranking = Vec::new();
    clear(&mut clearing, terms, &mut ranking);
    let won = |fill: &Fill| (fill.winner.owner.agent.raw(), fill.quantity, fill.price.raw());
    (clearing.fills.iter().map(won).collect(), ranking)
}

/// Che (1993), "Design Competition through Multidimensional Auctions", RAND Journal of Economics 24:
/// in a second-score auction the winner must match the best rejected score, by whatever mix of
/// quality and price it likes. Here the quality is the quoted latency, so the price makes up for it.
#[test]
fn the_winner_of_a_second_score_auction_matches_the_best_rejected_score() {
    let mut terms = terms(Format::SecondPrice, 1_000);
    terms.scoring = Scoring { latency_per_ms: Micros::new(2), ..Scoring::default() };
    let fast = Quote { latency_ms: 10, ..quote(1, 300) };
    let slow = Quote { latency_ms: 100, ..quote(2, 250) };
    // Scores 320 and 450: the winner gets 130 more than it asked.
    let (won, ranking) = cleared(&[fast, slow], &terms);
    assert_eq!(won, [(0, 1, 430)]);
    assert_eq!(won[0].2 + 2 * 10, ranking[1].score.raw());
    // Without quality it is Vickrey's auction: the best rejected price is paid.
    let (won, _) = cleared(&[quote(1, 300), quote(2, 350), quote(3, 400)], &terms);
    assert_eq!(won, [(0, 1, 350)]);
}

#[test]
fn ties_go_to_the_earlier_place() {
    let quotes = [quote(1, 40), quote(2, 30), quote(3, 30), quote(4, 35)];
    let (won, ranking) = cleared(&quotes, &terms(Format::FirstPrice, 39));
    assert_eq!(won, [(1, 1, 30)]);
    let results: Vec<_> = ranking.iter().map(|r| (r.provider.raw(), r.result)).collect();
    assert_eq!(
        results,
        [
            (1, RankedResult::Won),
            (2, RankedResult::Lost(LossReason::Tied)),
            (3, RankedResult::Lost(LossReason::Outscored)),
            (0, RankedResult::Lost(LossReason::AboveReserve)),
        ]
    );
}

/// A market for one unit of few accounts, in which account 0 may quote anything.
#[derive(Clone, Debug)]
struct Costs {
    costs: Vec<i64>,
    reserve: i64,
}

fn costs() -> impl Strategy<Value = Costs> {
    (proptest::collection::vec(1_i64..12, 1..6), 1_i64..12)
        .prop_map(|(costs, reserve)| Costs { costs, reserve })
}

/// What account 0 earns if its agents quote `prices` and everybody else its cost.
fn profit(costs: &Costs, prices: &[i64]) -> i64 {
    let mut quotes: Vec<_> = prices.iter().map(|price| quote(0, *price)).collect();
    quotes.extend((1..).zip(&costs.costs[1..]).map(|(account, cost)| quote(account, *cost)));
    let (won, _) = cleared(&quotes, &terms(Format::SecondPrice, costs.reserve));
    let is_mine = |number: u64| quotes[usize::try_from(number).unwrap()].account == 0;
    let mine = won.iter().filter(|(number, ..)| is_mine(*number));
    mine.map(|(_, _, price)| price - costs.costs[0]).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Vickrey (1961): where one unit is wanted and quotes are for one unit, nobody gains by quoting
    /// anything but its cost, alone or under two names.
    #[test]
    fn nobody_gains_by_misreporting(costs in costs()) {
        let honest = profit(&costs, &[costs.costs[0]]);
        prop_assert!(honest >= 0, "an honest quote never loses money");
        for lie in 1..14 {
            prop_assert!(profit(&costs, &[lie]) <= honest, "{costs:?} quoting {lie}");
            for second in 1..14 {
                let gained = profit(&costs, &[lie, second]);
                prop_assert!(gained <= honest, "{costs:?} quoting {lie} and {second}");
            }
        }
    }

    /// The ranking of the rest stays the same when a losing quote is removed, and so do the winners.
    #[test]
    fn a_losing_quote_that_goes_changes_no_order(
        quotes in proptest::collection::vec((1_i64..20, 1_u32..4), 2..12),
        wanted in 1_u32..6,
        second_price: bool,
    ) {
        let format = if second_price { Format::SecondPrice } else { Format::FirstPrice };
        let terms = RfqTerms { quantity: wanted, split: true, ..terms(format, 15) };
        let quotes: Vec<_> = (1..).zip(&quotes)
            .map(|(account, &(price, quantity))| Quote { quantity, ..quote(account, price) })
            .collect();
        let (won, ranking) = cleared(&quotes, &terms);
        let scores = |ranking: &[Ranked]| -> Vec<i64> {
            ranking.iter().map(|entry| entry.score.raw()).collect()
        };
        let units = |won: &[(u64, u32, i64)]| -> Vec<u32> { won.iter().map(|w| w.1).collect() };
        for (place, entry) in ranking.iter().enumerate() {
            if !matches!(entry.result, RankedResult::Lost(_)) {
                continue;
            }
            let mut rest = quotes.clone();
            rest.remove(usize::try_from(entry.provider.raw()).unwrap());
            let (won_without, without) = cleared(&rest, &terms);
            let mut expected = scores(&ranking);
            expected.remove(place);
            prop_assert_eq!(scores(&without), expected);
            prop_assert_eq!(units(&won_without), units(&won));
        }
    }

    /// No winner is paid less than it asked or more than the reserve, and as many units go as are
    /// both wanted and offered.
    #[test]
    fn nobody_is_paid_less_than_it_asked(
        quotes in proptest::collection::vec((1_u64..4, 1_i64..20, 1_u32..4, 0_u32..3), 1..12),
        wanted in 1_u32..9,
        second_price: bool,
    ) {
        let format = if second_price { Format::SecondPrice } else { Format::FirstPrice };
        let mut terms = RfqTerms { quantity: wanted, split: true, ..terms(format, 15) };
        terms.scoring.latency_per_ms = Micros::new(3);
        let quotes: Vec<_> = quotes.iter()
            .map(|&(account, price, quantity, latency_ms)| {
                Quote { account, price, latency_ms, quantity }
            })
            .collect();
        let (won, ranking) = cleared(&quotes, &terms);
        prop_assert_eq!(ranking.len(), quotes.len());
        for (number, quantity, price) in &won {
            let quote = quotes[usize::try_from(*number).unwrap()];
            prop_assert!(*quantity <= quote.quantity);
            prop_assert!((quote.price..=15).contains(price));
            prop_assert!(second_price || *price == quote.price);
        }
        let offered: u32 = quotes.iter().filter(|q| q.price <= 15).map(|q| q.quantity).sum();
        let awarded: u32 = won.iter().map(|(_, quantity, _)| quantity).sum();
        prop_assert_eq!(awarded, offered.min(wanted));
    }
}
