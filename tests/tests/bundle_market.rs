//! Combinatorial RFQs drawn at random through the exchange, beside a naive count of every set of
//! bundles: whoever proposes what, an allocation that may not win never does, and money is where it
//! belongs.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::collections::BTreeMap;

use gavel_exchange::{Exchange, Snapshot};
use gavel_protocol::*;
use gavel_solver::{Budget, propose};
use gavel_tests::market::Market;
use proptest::prelude::*;

const PROVIDERS: usize = 3;
const BUNDLES_MAX: usize = 10;
const WINDOW: DurationNs = DurationNs::from_secs(1);
const CLEARING: DurationNs = DurationNs::from_millis(10);

/// Who proposes an allocation.
#[derive(Clone, Copy, Debug)]
enum Solving {
    Nobody,
    Exchange,
    /// Somebody who names any winners, and is off by so much in surplus and bound.
    Liar {
        winners: u32,
        surplus: i64,
        bound: i64,
        is_own: bool,
    },
}

#[derive(Clone, Debug)]
struct Drawn {
    items: Vec<(u32, i64)>,
    /// Zero is an XOR group, anything else a capacity.
    groups: Vec<(usize, u32)>,
    /// Items, price in percent of the reserves, group.
    bundles: Vec<(u64, i64, usize)>,
    free_disposal: bool,
    all_or_none: bool,
    payment: PaymentRule,
    solving: Solving,
}

/// What the naive count knows of a bundle.
#[derive(Clone, Copy, Debug)]
struct Known {
    items: Items,
    price: i64,
    group: usize,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let rule = prop_oneof![
        2 => Just(PaymentRule::PayAsBid),
        1 => Just(PaymentRule::Vcg),
        1 => Just(PaymentRule::Core)
    ];
    let liar = (any::<u32>(), -3_i64..=3, -3_i64..=3, any::<bool>()).prop_map(
        |(winners, surplus, bound, is_own)| Solving::Liar { winners, surplus, bound, is_own },
    );
    let solving = prop_oneof![1 => Just(Solving::Nobody), 3 => Just(Solving::Exchange), 2 => liar];
    (1_usize..=6, 1_usize..=5).prop_flat_map(move |(items, groups)| {
        (
            prop::collection::vec((1_u32..=3, 1_i64..=40), items),
            prop::collection::vec((0..PROVIDERS, 0_u32..=6), groups),
            prop::collection::vec((1_u64..1 << items, 1_i64..=110, 0..groups), 1..=BUNDLES_MAX),
            any::<bool>(),
            any::<bool>(),
            rule.clone(),
            solving.clone(),
        )
            .prop_map(
                |(items, groups, bundles, free_disposal, all_or_none, rule, solving)| {
                    // VCG does not go with all or none.
                    let all_or_none = all_or_none && rule != PaymentRule::Vcg;
                    Drawn {
                        items,
                        groups,
                        bundles,
                        free_disposal,
                        all_or_none,
                        payment: rule,
                        solving,
                    }
                },
            )
    })
}

impl Drawn {
    fn terms(&self) -> BundleTerms {
        let item = |(load, reserve): &(u32, i64)| Item {
            quantity: 1,
            load: *load,
            reserve: Micros::new(*reserve),
        };
        BundleTerms {
            items: self.items.iter().map(item).collect(),
            free_disposal: self.free_disposal,
            all_or_none: self.all_or_none,
            payment: self.payment,
            clearing_within: CLEARING,
            external_solvers: true,
        }
    }

    fn known(&self) -> Vec<Known> {
        let known = |(set, percent, group): &(u64, i64, usize)| {
            let items = Items::from_words([*set, 0, 0, 0]);
            Known { items, price: (self.worth(items) * percent / 100).max(1), group: *group }
        };
        self.bundles.iter().map(known).collect()
    }

    fn worth(&self, items: Items) -> i64 {
        items.iter().map(|item| self.items[usize::from(item)].1).sum()
    }

    /// Returns what these bundles gain the buyer, or `None` if they may not all win.
    fn surplus(&self, winners: &[Known]) -> Option<i64> {
        let (mut covered, mut paid) = (Items::EMPTY, 0);
        let mut used: BTreeMap<usize, u32> = BTreeMap::new();
        for winner in winners {
            // Nobody is paid above the reserves of its items, whatever the whole is worth.
            if winner.price > self.worth(winner.items) {
                return None;
            }
            if covered.meets(&winner.items) && !self.free_disposal {
                return None;
            }
            covered = covered.or(&winner.items);
            paid += winner.price;
            let capacity = self.groups[winner.group].1;
            let load = winner.items.iter().map(|item| self.items[usize::from(item)].0).sum();
            let (units, most) = if capacity == 0 { (1, 1) } else { (load, capacity) };
            let used = used.entry(winner.group).or_default();
            *used += units;
            if *used > most {
                return None;
            }
        }
        let whole = covered == Items::first(self.items.len());
        let may = !self.all_or_none || whole || winners.is_empty();
        may.then(|| self.worth(covered) - paid)
    }

    fn best(&self) -> i64 {
        let known = self.known();
        let subset = |set: u32| -> Vec<Known> {
            let chosen = known.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
            chosen.map(|(_, known)| *known).collect()
        };
        (0_u32..1 << known.len()).filter_map(|set| self.surplus(&subset(set))).max().unwrap()
    }
}

/// A market in which one RFQ is cleared, and everything that followed.
struct Auction {
    market: Market,
    rfq: RfqId,
    /// The bundles by their names.
    names: BTreeMap<(QuoteId, u32), Known>,
    events: Vec<Event>,
    posed: Vec<PosedBundle>,
}

impl Auction {
    fn open(drawn: &Drawn) -> Self {
        let mut market = Market::new(PROVIDERS + 1, || 0);
        let bundles = drawn.terms();
        let reserve = bundles.reserve().unwrap();
        let terms = RfqTerms {
            format: Format::Combinatorial,
            window: WINDOW,
            terms: gavel_tests::terms(),
            ..RfqTerms::plain(market.capability, Currency::USD, reserve)
        };
        let client_id = market.client_id();
        let open = OpenRfq { bundles: Some(Box::new(bundles)), ..OpenRfq::plain(client_id, terms) };
        let opened = market.apply(market.agents[0], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
        let (names, events, posed) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut auction = Self { market, rfq: opened.rfq, names, events, posed };
        auction.quote(drawn);
        auction
    }

    fn quote(&mut self, drawn: &Drawn) {
        let valid_until = self.market.now.after(DurationNs::from_secs(3_600));
        let mut groups: BTreeMap<usize, QuoteId> = BTreeMap::new();
        for known in drawn.known() {
            let (provider, capacity) = drawn.groups[known.group];
            let rule = match capacity {
                0 => GroupRule::Xor,
                capacity => GroupRule::Or(capacity),
            };
            let group = match groups.get(&known.group) {
                Some(quote) => BundleGroup::Existing(*quote),
                None => BundleGroup::New(NewGroup { rule, valid_until, standby_until: None }),
            };
            let price = Micros::new(known.price);
            let bundles = vec![Bundle { items: known.items, price, latency_ms: 0 }];
            let (client_id, rfq, signature) = (self.market.client_id(), self.rfq, None);
            let quote = QuoteBundles { client_id, rfq, group, bundles, signature };
            let agent = self.market.agents[1 + provider];
            let quoted = self.market.apply(agent, Command::QuoteBundles(Box::new(quote)));
            let Event::BundlesQuoted(quoted) = quoted else { panic!("{quoted:?}") };
            groups.insert(known.group, quoted.quote);
            let Event::BundleQuoted(named) = self.market.events()[1] else { panic!() };
            self.names.insert((named.bundle.quote, named.bundle.number), known);
        }
    }

    /// Lets what is due take effect, until nothing is, passing through a snapshot between any two
    /// steps.
    fn advance(&mut self) {
        while self.market.exchange.is_due(self.market.now) {
            let bytes = self.market.exchange.snapshot().to_bytes();
            let hash = self.market.exchange.state_hash();
            self.market.exchange = Exchange::restore(Snapshot::from_bytes(&bytes).unwrap());
            assert_eq!(self.market.exchange.state_hash(), hash);
            self.market.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
            self.note();
        }
    }

    fn note(&mut self) {
        self.events.extend_from_slice(self.market.events());
        self.posed.extend_from_slice(self.market.posed());
    }

    fn problem(&self, drawn: &Drawn) -> Option<Problem> {
        let started = self.events.iter().find_map(|event| match event {
            Event::ClearingStarted(started) => Some(*started),
            _ => None,
        })?;
        let posed = ProblemPosed::of(&drawn.terms(), &started)?;
        Some(Problem { posed, bundles: self.posed.clone() })
    }

    fn propose(&mut self, drawn: &Drawn) {
        let Some(problem) = self.problem(drawn) else { return };
        let (agent, proposal) = match drawn.solving {
            Solving::Nobody => return,
            Solving::Exchange => (AgentId::EXCHANGE, propose(&problem, Budget::Unlimited).unwrap()),
            Solving::Liar { winners, surplus, bound, is_own } => {
                let winners: Vec<u32> =
                    (0..12).filter(|winner| winners >> winner & 1 == 1).collect();
                let true_best = drawn.best();
                let proposal = ProposeAllocation {
                    rfq: self.rfq,
                    winners,
                    surplus: Micros::new(true_best + surplus),
                    // The exchange's own solvers are believed: their bound is not below the best.
                    bound: Some(Micros::new(if is_own {
                        true_best + bound.abs()
                    } else {
                        true_best + bound
                    })),
                    prices: None,
                    payments: Vec::new(),
                };
                (if is_own { AgentId::EXCHANGE } else { self.market.agents[1] }, proposal)
            }
        };
        let answer =
            self.market.apply(agent, Command::ProposeAllocation(Box::new(proposal.clone())));
        if let Solving::Exchange = drawn.solving {
            assert!(matches!(answer, Event::AllocationProposed(_)), "{answer:?} {proposal:?}");
        }
        self.note();
    }

    fn winners(&self) -> Vec<(Awarded, Known)> {
        let awarded = |event: &Event| match event {
            Event::Awarded(awarded) => {
                let QuoteRef::Bundle(bundle) = awarded.quote else { panic!("{awarded:?}") };
                Some((*awarded, self.names[&(bundle.quote, bundle.number)]))
            }
            _ => None,
        };
        self.events.iter().filter_map(awarded).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_wins_may_win_and_what_is_proven_is_the_best(drawn in drawn()) {
        let mut auction = Auction::open(&drawn);
        let buyer = auction.market.agents[0];
        let reserves = drawn.terms().reserve().unwrap();
        auction.market.now = auction.market.now.after(WINDOW);
        auction.advance();
        auction.propose(&drawn);
        auction.market.now = auction.market.now.after(CLEARING);
        auction.advance();

        let cleared = auction.events.iter().find_map(|event| match event {
            Event::RfqCleared(cleared) => Some(*cleared),
            _ => None,
        });
        let cleared = cleared.unwrap();
        let winners = auction.winners();
        let known: Vec<_> = winners.iter().map(|(_, known)| *known).collect();
        prop_assert_eq!(drawn.surplus(&known), Some(cleared.surplus.raw()));
        let best = drawn.best();
        prop_assert!(cleared.surplus.raw() <= best);
        prop_assert!(cleared.bound.is_none_or(|bound| bound.raw() >= best));
        if matches!(drawn.solving, Solving::Exchange) {
            prop_assert_eq!(cleared.surplus.raw(), best);
            prop_assert_eq!(cleared.bound, Some(Micros::new(best)));
            let rule = if best == 0 { PaymentRule::PayAsBid } else { drawn.payment };
            prop_assert_eq!(cleared.payment, rule);
        }

        // Each bundle has one final answer.
        let mut answered: Vec<_> = winners
            .iter()
            .map(|(awarded, _)| match awarded.quote {
                QuoteRef::Bundle(bundle) => (bundle.quote, bundle.number),
                _ => panic!("{awarded:?}"),
            })
            .collect();
        answered.extend(auction.events.iter().filter_map(|event| match event {
            Event::BundleLost(lost) => Some((lost.bundle.quote, lost.bundle.number)),
            _ => None,
        }));
        answered.sort_unstable();
        prop_assert_eq!(answered, auction.names.keys().copied().collect::<Vec<_>>());

        // Everybody gets at least what it asks and at most the reserves, and the rest goes back.
        let mut paid = 0;
        for (awarded, known) in &winners {
            prop_assert!(awarded.total.raw() >= known.price);
            prop_assert!(awarded.total.raw() <= drawn.worth(known.items));
            paid += awarded.total.raw();
        }
        prop_assert!(paid <= reserves.raw());
        let statement = auction.market.exchange.statement(buyer, auction.market.now).unwrap();
        let account = &statement.accounts[0];
        prop_assert_eq!((account.held.raw(), account.escrow.raw()), (0, paid));
        prop_assert_eq!(account.available.raw(), 100_000_000_000 - paid);
        prop_assert_eq!(auction.market.exchange.trial_balance(), 0);
        prop_assert!(statement.rfqs.is_empty());
    }
}
