//! Combinatorial RFQs over QUIC, in both codecs: items, bundles from several providers, and a solver
//! from outside.
//!
//! The exchange under test has no solvers of its own, so that its first answer stands until somebody
//! betters it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_client::{Client, EventStream, NewRfq};
use gavel_protocol::*;
use gavel_tests::{
    Trader, World, bundle, group, next_private, next_public, rfq, rfq_for_items, standing,
};

/// Longer than any test takes.
const WINDOW_MS: u64 = 600_000;

/// What the first answer gains: it begins with the densest bundle, which is in the way of the rest.
const FIRST: i64 = 7_000_000;

/// What the best allocation gains.
const BEST: i64 = 12_000_000;

/// An exchange with a buyer, two providers and a solver from outside.
struct Round {
    world: World,
    capability: CapabilityId,
    buyer: Trader,
    /// The first has an OR group, the second an XOR group.
    providers: [Trader; 2],
    solver: Client,
    account: AccountId,
    /// The stream of problems.
    problems: EventStream,
}

impl Round {
    async fn start(codec: Codec) -> Self {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let buyer = world.trader().await;
        let providers = [world.trader().await, world.trader().await];
        let (solver, account) = world.solver().await;
        let problems = solver.subscribe(Topic::Problems, None).await.unwrap();
        Self { world, capability, buyer, providers, solver, account, problems }
    }

    /// Opens an RFQ for three items that closes as soon as both providers have answered, and returns
    /// what they are told of it.
    async fn open(&mut self, change: impl FnOnce(&mut BundleTerms)) -> RfqAnnounced {
        let (mut terms, mut bundles) = rfq_for_items(self.capability, WINDOW_MS, &items());
        terms.close_early = true;
        change(&mut bundles);
        let invited = self.providers.iter().map(|provider| provider.id).collect();
        let opening = NewRfq { terms, invited, dutch: None, bundles: Some(bundles) };
        self.buyer.client.open_rfq(opening).await.unwrap();
        let mut announced = None;
        for provider in &mut self.providers {
            announced = Some(*next_private!(&mut provider.events, Invited));
        }
        announced.unwrap()
    }

    /// Lets both providers quote, and returns their groups. With the second one the RFQ closes.
    async fn quote(&self, announced: &RfqAnnounced) -> [QuoteId; 2] {
        let [first, second] = &self.providers;
        let large = vec![bundle(&[0, 1], 12_000_000), bundle(&[2], 9_000_000)];
        let large = first.client.quote_bundles(announced, group(GroupRule::Or(5)), large).await;
        let small = vec![bundle(&[0], 4_000_000), bundle(&[2], 6_000_000)];
        let small = second.client.quote_bundles(announced, group(GroupRule::Xor), small).await;
        [large.unwrap(), small.unwrap()]
    }

    /// Lets an RFQ come to where proposals are taken, and returns its problem.
    async fn pose(&mut self, change: impl FnOnce(&mut BundleTerms)) -> Problem {
        let announced = self.open(change).await;
        self.quote(&announced).await;
        let problem = self.problem().await;
        assert_eq!(problem.posed.rfq, announced.rfq);
        problem
    }

    /// Waits for the next problem.
    async fn problem(&mut self) -> Problem {
        let first = *next_public!(&mut self.problems, ProblemBundles);
        let posed = *next_public!(&mut self.problems, ProblemPosed);
        assert_eq!((first.rfq, first.first), (posed.rfq, 0));
        Problem { posed, bundles: first.bundles }
    }

    async fn refused(&self, proposal: ProposeAllocation) -> Option<RejectReason> {
        let proposed = self.solver.propose_allocation(proposal).await;
        proposed.err().and_then(|error| error.reason())
    }

    /// Does the work of a contract, and returns what its provider was paid.
    async fn settle(&mut self, number: usize, contract: ContractId) -> Micros {
        let provider = &mut self.providers[number];
        let work = provider.client.put_blob(b"the text").await.unwrap();
        provider.client.deliver(contract, work).await.unwrap();
        self.buyer.client.accept_delivery(contract).await.unwrap();
        let settled = next_private!(&mut provider.events, ContractSettled);
        assert_eq!(settled.contract, contract);
        settled.released
    }
}

fn items() -> [Item; 3] {
    let item = |quantity, load, reserve| Item { quantity, load, reserve: Micros::new(reserve) };
    [item(1, 1, 10_000_000), item(1, 1, 10_000_000), item(2, 3, 5_000_000)]
}

fn set(items: &[u8]) -> Items {
    items.iter().copied().collect()
}

fn proposal(rfq: RfqId, winners: &[u32], surplus: i64) -> ProposeAllocation {
    ProposeAllocation {
        rfq,
        winners: winners.to_vec(),
        surplus: Micros::new(surplus),
        bound: None,
        prices: None,
        payments: Vec::new(),
    }
}

/// The best allocation, as the problem numbers it: both items of the first provider, one of the second.
fn best(rfq: RfqId) -> ProposeAllocation {
    proposal(rfq, &[1, 2], BEST)
}

/// Prices that prove that nothing is better.
fn proof() -> Option<DualPrices> {
    let amounts = |amounts: &[i64]| amounts.iter().copied().map(Micros::new).collect();
    let (items, groups) = (amounts(&[6_000_000, 2_000_000, 4_000_000]), amounts(&[0, 0]));
    Some(DualPrices { items, groups })
}

#[tokio::test]
async fn a_solver_from_outside_betters_the_first_answer_and_wins_at_the_end_of_the_clearing() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let soon = DurationNs::from_secs(2);
        let announced = round.open(|bundles| bundles.clearing_within = soon).await;
        let public = announced.bundles.as_ref().unwrap();
        assert_eq!(public.items[2], PublicItem { quantity: 2, load: 3 });
        let [large, small] = round.quote(&announced).await;

        let Problem { posed, bundles } = round.problem().await;
        assert_eq!((posed.rfq, posed.bundles, posed.groups), (announced.rfq, 4, 2));
        let worth = PosedItem { load: 3, reserve: Micros::new(10_000_000) };
        assert_eq!((posed.items.len(), posed.items[2]), (3, worth));
        // The densest first; groups and accounts by numbers of the problem alone.
        let seen: Vec<_> =
            bundles.iter().map(|b| (b.items, b.score.raw(), b.group, b.account)).collect();
        let expected = [
            (set(&[0]), 4_000_000, 0, 0),
            (set(&[0, 1]), 12_000_000, 1, 1),
            (set(&[2]), 6_000_000, 0, 0),
            (set(&[2]), 9_000_000, 1, 1),
        ];
        assert_eq!(seen, expected);
        assert_eq!((bundles[0].rule, bundles[1].rule), (GroupRule::Xor, GroupRule::Or(5)));

        // What nobody can check is not taken on trust: it goes on to the end.
        let claimed = ProposeAllocation { bound: Some(Micros::new(BEST)), ..best(posed.rfq) };
        round.solver.propose_allocation(claimed).await.unwrap();

        let cleared = next_private!(&mut round.buyer.events, RfqCleared);
        assert_eq!((cleared.rfq, cleared.winners), (posed.rfq, 2));
        assert_eq!((cleared.surplus, cleared.bound), (Micros::new(BEST), None));
        assert_eq!(cleared.solver, Some(round.solver.identity().agent));
        assert_eq!((cleared.payment, cleared.items), (PaymentRule::PayAsBid, Items::first(3)));
        let mut contracts = Vec::new();
        for (number, quote, items, total) in
            [(0, large, set(&[0, 1]), 12_000_000), (1, small, set(&[2]), 6_000_000)]
        {
            let awarded = next_private!(&mut round.providers[number].events, Awarded);
            assert_eq!(next_private!(&mut round.buyer.events, Awarded), awarded);
            let own = u32::try_from(number).unwrap();
            assert_eq!(awarded.quote, QuoteRef::Bundle(BundleRef { quote, number: own }));
            assert_eq!((awarded.total, awarded.bond), (Micros::new(total), Micros::ZERO));
            let gap = None;
            let (payment, payment_high) = (PaymentRule::PayAsBid, Micros::new(total));
            assert_eq!(awarded.bundle, Some(BundleAward { items, gap, payment, payment_high }));
            contracts.push((number, awarded.contract));
        }
        // One below the other's: 6.00 would have gained four, as much as what it lost to.
        let lost = next_private!(&mut round.providers[0].events, BundleLost);
        assert_eq!(lost.bundle, BundleRef { quote: large, number: 1 });
        assert_eq!((lost.reason, lost.lost_on), (LossReason::BundleLost, set(&[2])));
        assert_eq!(lost.price_to_win, Some(Micros::new(6_000_000)));
        // Another bundle of its own group has won: no price would have helped.
        let lost = next_private!(&mut round.providers[1].events, BundleLost);
        assert_eq!(lost.bundle, BundleRef { quote: small, number: 0 });
        assert_eq!((lost.reason, lost.lost_on), (LossReason::BundleLost, set(&[0])));
        assert_eq!(lost.price_to_win, None);
        let ended = next_private!(&mut round.buyer.events, RfqEnded);
        assert_eq!((ended.result, ended.quotes, ended.awarded), (RfqResult::Awarded, 4, 3));
        assert_eq!(ended.clearing_price, Some(Micros::new(18_000_000)));
        for provider in &mut round.providers {
            let told = next_private!(&mut provider.events, InvitedRfqEnded);
            assert_eq!((told.rfq, told.awarded), (posed.rfq, 3));
        }
        let late = best(posed.rfq);
        assert_eq!(round.refused(late).await, Some(RejectReason::TooLate));

        let mut paid = 0;
        for (number, contract) in contracts {
            paid += round.settle(number, contract).await.raw();
        }
        // 12.00 and 6.00, less one percent.
        assert_eq!(paid, 17_820_000);
        round.world.stop().await;
    }
}

#[tokio::test]
async fn prices_that_prove_the_best_end_the_clearing_at_once() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let Problem { posed, .. } = round.pose(|_| ()).await;
        let first = proposal(posed.rfq, &[0, 3], FIRST);
        assert_eq!(round.refused(first).await, Some(RejectReason::NotBetter));
        let proven = ProposeAllocation { prices: proof(), ..best(posed.rfq) };
        round.solver.propose_allocation(proven).await.unwrap();
        let cleared = next_private!(&mut round.buyer.events, RfqCleared);
        assert_eq!((cleared.surplus, cleared.bound), (Micros::new(BEST), cleared.bound));
        assert_eq!(cleared.bound, Some(Micros::new(BEST)));
        let awarded = next_private!(&mut round.buyer.events, Awarded);
        assert_eq!(awarded.bundle.unwrap().gap, Some(Micros::ZERO));
        let within = rfq(round.capability, WINDOW_MS).delivery_within;
        assert!(awarded.delivery_due < posed.ends_at.after(within), "awarded before the end");
        round.world.stop().await;
    }
}

#[tokio::test]
async fn the_first_answer_may_be_proven_by_somebody_else_and_stays_the_exchanges_own() {
    let mut round = Round::start(Codec::Json).await;
    let announced = round.open(|_| ()).await;
    let [first, second] = &round.providers;
    let one = |price| vec![bundle(&[0], price)];
    first.client.quote_bundles(&announced, group(GroupRule::Xor), one(4_000_000)).await.unwrap();
    second.client.quote_bundles(&announced, group(GroupRule::Xor), one(5_000_000)).await.unwrap();
    let Problem { posed, .. } = round.problem().await;
    let (items, groups) = (vec![Micros::new(6_000_000), Micros::ZERO, Micros::ZERO], vec![]);
    let short = Some(DualPrices { items: items.clone(), groups });
    let of_first = |prices| ProposeAllocation { prices, ..proposal(posed.rfq, &[0], 6_000_000) };
    assert_eq!(round.refused(of_first(short)).await, Some(RejectReason::FalseBound));
    let proof = Some(DualPrices { items, groups: vec![Micros::ZERO; 2] });
    round.solver.propose_allocation(of_first(proof)).await.unwrap();
    let cleared = next_private!(&mut round.buyer.events, RfqCleared);
    assert_eq!((cleared.solver, cleared.bound), (None, Some(Micros::new(6_000_000))));
    let lost = next_private!(&mut round.providers[1].events, BundleLost);
    assert_eq!(lost.price_to_win, Some(Micros::new(4_000_000)));
    round.world.stop().await;
}

#[tokio::test]
async fn proposals_that_nobody_should_make_are_rejected_with_their_reason() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let early = round.open(|_| ()).await;
        assert_eq!(round.refused(best(early.rfq)).await, Some(RejectReason::NotClearing));
        let plain = round.buyer.client.open_rfq(rfq(round.capability, WINDOW_MS)).await.unwrap();
        assert_eq!(round.refused(best(plain.rfq)).await, Some(RejectReason::WrongFormat));
        assert_eq!(round.refused(best(RfqId::new(7))).await, Some(RejectReason::UnknownRfq));

        let Problem { posed, .. } = round.pose(|_| ()).await;
        let id = posed.rfq;
        let best = best(id);
        for trader in [&round.buyer.client, &round.providers[0].client, round.world.operator()] {
            let refused = trader.propose_allocation(best.clone()).await.unwrap_err();
            assert_eq!(refused.reason(), Some(RejectReason::NotPermitted));
        }
        let infeasible: [&[u32]; 6] = [&[1, 1], &[0, 1], &[0, 2], &[2, 3], &[1, 2, 4], &[0; 257]];
        for winners in infeasible {
            let refused = round.refused(proposal(id, winners, BEST)).await;
            assert_eq!(refused, Some(RejectReason::InfeasibleAllocation), "{winners:?}");
        }
        for surplus in [BEST + 1, BEST - 1, -BEST, i64::MAX] {
            let refused = round.refused(proposal(id, &[1, 2], surplus)).await;
            assert_eq!(refused, Some(RejectReason::SurplusMismatch), "{surplus}");
        }
        let below = Some(Micros::new(BEST - 1));
        let too_low = ProposeAllocation { bound: below, ..best.clone() };
        assert_eq!(round.refused(too_low).await, Some(RejectReason::FalseBound));
        let false_prices: [fn(&mut DualPrices); 6] = [
            |prices| prices.items.truncate(2),
            |prices| prices.items.push(Micros::ZERO),
            |prices| prices.groups.clear(),
            |prices| prices.items[0] = Micros::new(-1),
            |prices| prices.groups[1] = Micros::new(-1),
            |prices| prices.items = vec![Micros::new(i64::MAX); 3],
        ];
        for (number, change) in false_prices.into_iter().enumerate() {
            let mut prices = proof();
            change(prices.as_mut().unwrap());
            let refused = round.refused(ProposeAllocation { prices, ..best.clone() }).await;
            assert_eq!(refused, Some(RejectReason::FalseBound), "change {number}");
        }
        // These prove thirteen, and twelve is claimed.
        let mut loose = proof();
        loose.as_mut().unwrap().items[0] = Micros::new(7_000_000);
        let bound = Some(Micros::new(BEST));
        let refused = round.refused(ProposeAllocation { bound, prices: loose, ..best.clone() });
        assert_eq!(refused.await, Some(RejectReason::FalseBound));
        let (low, high) = (Micros::new(12_000_000), Micros::new(12_000_000));
        let payments = vec![ProposedPayment { low, high }; 2];
        let refused = round.refused(ProposeAllocation { payments, ..best.clone() }).await;
        assert_eq!(refused, Some(RejectReason::InvalidPayments));

        // None of it has had an effect.
        round.solver.propose_allocation(best.clone()).await.unwrap();
        assert_eq!(round.refused(best.clone()).await, Some(RejectReason::NotBetter));
        let proven = ProposeAllocation { prices: proof(), ..best.clone() };
        round.solver.propose_allocation(proven).await.unwrap();
        next_private!(&mut round.buyer.events, RfqEnded);
        assert_eq!(round.refused(best).await, Some(RejectReason::TooLate));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn only_solvers_see_problems_and_only_of_rfqs_that_admit_them() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        for trader in [&round.buyer.client, &round.providers[0].client, round.world.operator()] {
            let refused = trader.subscribe(Topic::Problems, None).await.err();
            let reason = refused.and_then(|error| error.reason());
            assert_eq!(reason, Some(RejectReason::UnknownTopic));
        }
        let own = round.open(|bundles| bundles.external_solvers = false).await;
        round.quote(&own).await;
        assert_eq!(round.refused(best(own.rfq)).await, Some(RejectReason::NotInvited));
        // The first that its stream says is of another.
        let problem = round.pose(|_| ()).await;
        assert_ne!(problem.posed.rfq, own.rfq);
        assert!(problem.posed.external_solvers);
        round.world.stop().await;
    }
}

#[tokio::test]
async fn an_account_of_solvers_does_not_trade() {
    let mut round = Round::start(Codec::Rkyv).await;
    let announced = round.open(|_| ()).await;
    let not_permitted = Some(RejectReason::NotPermitted);
    let solver = &round.solver;
    let refused = solver.open_rfq(rfq(round.capability, WINDOW_MS)).await.unwrap_err();
    assert_eq!(refused.reason(), not_permitted);
    let one = vec![bundle(&[0], 1_000_000)];
    let refused = solver.quote_bundles(&announced, group(GroupRule::Xor), one).await.unwrap_err();
    assert_eq!(refused.reason(), not_permitted);
    let refused = solver.place_quote(&announced, Offer::new(Micros::new(1), TimestampNs::MAX));
    assert_eq!(refused.await.unwrap_err().reason(), not_permitted);
    let refused = solver.set_standing_quote(standing(round.capability, 1, 1_000_000)).await;
    assert_eq!(refused.unwrap_err().reason(), not_permitted);
    let refused = solver.decline_rfq(announced.rfq, NoQuoteReason::Policy).await.unwrap_err();
    assert_eq!(refused.reason(), not_permitted);

    let (_, of_trader) = round.world.enrol().await;
    let operator = round.world.operator();
    let mixed = Roles::SOLVER.with(Role::Buyer);
    for (account, roles) in
        [(round.account, Roles::TRADER), (of_trader, Roles::SOLVER), (of_trader, mixed)]
    {
        let key = PublicKey::new([123; 32]);
        let refused = operator.enrol_agent(account, key, roles, Attributes::default()).await;
        assert_eq!(refused.unwrap_err().reason(), Some(RejectReason::InvalidSettings));
    }
    round.world.stop().await;
}

#[tokio::test]
async fn a_group_grows_and_goes_as_a_whole() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let announced = round.open(|_| ()).await;
        let [first, second] = &round.providers;
        let one = |items: &[u8], price| vec![bundle(items, price)];
        let xor = group(GroupRule::Xor);
        let gone = first.client.quote_bundles(&announced, xor, one(&[0], 1_000_000)).await.unwrap();
        let kept = first.client.quote_bundles(&announced, xor, one(&[0], 4_000_000)).await.unwrap();
        let more = BundleGroup::Existing(kept);
        let grown = first.client.quote_bundles(&announced, more, one(&[1], 3_000_000)).await;
        assert_eq!(grown.unwrap(), kept);
        first.client.cancel_quote(gone).await.unwrap();
        let again = BundleGroup::Existing(gone);
        let refused = first.client.quote_bundles(&announced, again, one(&[1], 3_000_000)).await;
        assert_eq!(refused.unwrap_err().reason(), Some(RejectReason::UnknownQuote));
        let reason = NoQuoteReason::NoCapacity;
        second.client.decline_rfq(announced.rfq, reason).await.unwrap();

        let Problem { posed, bundles } = round.problem().await;
        assert_eq!((posed.bundles, posed.groups), (2, 1));
        // The one that came into the group gains more, and only one of them may win.
        assert_eq!((bundles[0].items, bundles[1].items), (set(&[1]), set(&[0])));
        let both = proposal(posed.rfq, &[0, 1], 13_000_000);
        assert_eq!(round.refused(both).await, Some(RejectReason::InfeasibleAllocation));
        let (items, groups) = (vec![Micros::ZERO; 3], vec![Micros::new(7_000_000)]);
        let prices = Some(DualPrices { items, groups });
        let only = ProposeAllocation { prices, ..proposal(posed.rfq, &[0], 7_000_000) };
        round.solver.propose_allocation(only).await.unwrap();
        let awarded = next_private!(&mut round.providers[0].events, Awarded);
        assert_eq!(awarded.quote, QuoteRef::Bundle(BundleRef { quote: kept, number: 1 }));
        let lost = next_private!(&mut round.providers[0].events, BundleLost);
        assert_eq!((lost.reason, lost.lost_on), (LossReason::GroupUsedUp, Items::EMPTY));
        let ended = next_private!(&mut round.buyer.events, RfqEnded);
        assert_eq!((ended.quotes, ended.awarded), (2, 1));
        let declined = next_private!(&mut round.buyer.events, Declined);
        assert_eq!((declined.provider, declined.reason), (round.providers[1].id, reason));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_clearing_goes_on_after_a_restart() {
    let mut round = Round::start(Codec::Rkyv).await;
    let Problem { posed, .. } = round.pose(|_| ()).await;
    round.solver.propose_allocation(best(posed.rfq)).await.unwrap();
    let Round { world, solver, mut buyer, .. } = round;
    let world = world.restart().await;
    let again = solver.propose_allocation(best(posed.rfq)).await.unwrap_err();
    assert_eq!(again.reason(), Some(RejectReason::NotBetter), "what was proposed is kept");
    let proven = ProposeAllocation { prices: proof(), ..best(posed.rfq) };
    solver.propose_allocation(proven).await.unwrap();
    let cleared = next_private!(&mut buyer.events, RfqCleared);
    assert_eq!((cleared.rfq, cleared.surplus), (posed.rfq, Micros::new(BEST)));
    assert_eq!(cleared.solver, Some(solver.identity().agent));
    world.stop().await;
}
