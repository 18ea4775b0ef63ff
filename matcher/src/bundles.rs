//! What a combinatorial RFQ collects: its items, groups of bundles, and the bundles in the order in
//! which a construction takes them. Kept so as they come: nothing is sorted at the close.

use alloc::vec::Vec;
use core::hint::black_box;

use gavel_protocol::limits::{BUNDLES_PER_RFQ_MAX, ITEMS_MAX};
use gavel_protocol::{
    AccountId, AgentId, Bundle, BundleRef, BundleTerms, DurationNs, GroupRule, Item, Items,
    LossReason, Micros, PaymentRule, PosedBundle, PosedItem, PriceBand, ProposedPayment,
    PublicBundleTerms, PublicItem, QuoteId, Scoring,
};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::allocation::{Problem, Scratch, load_of, worth_of};
use crate::first_answer::{FirstAnswer, units_of};
use crate::owner::Owner;

/// A group of bundles: one quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BundlesOfQuote {
    /// The quote.
    pub quote: QuoteId,
    /// Whose.
    pub owner: Owner,
    /// How many of its bundles may win.
    pub rule: GroupRule,
    /// How many it has; the next one's number.
    pub bundles: u32,
    /// What holds at the close.
    pub at_close: GroupAtClose,
}

/// What holds for a group at the close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct GroupAtClose {
    /// Whether it has been looked at.
    pub seen: bool,
    /// The provider's reputation.
    pub reputation_bps: u16,
    /// What that adds to each score.
    pub reputation: Micros,
    /// Why none of it can win, if none can.
    pub barred: Option<LossReason>,
    /// Its number and its account's in the problem, once a bundle of it is posed.
    pub numbers: Option<(u32, u32)>,
    /// What its winners take of its capacity.
    pub used: u32,
}

/// A bundle and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlacedBundle {
    /// What is offered.
    pub offer: Bundle,
    /// Where its group is.
    pub group: u32,
    /// Its number in the group.
    pub number: u32,
    /// The place among ties: the sequence number of the command that brought it.
    pub priority: u64,
    /// The reserves of its items together.
    pub worth: Micros,
    /// What became of it at the close.
    pub fate: Fate,
    density: i64,
}

/// What became of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Fate {
    /// Nothing yet.
    #[default]
    Open,
    /// It competes, under this number of the problem.
    Posed(u32),
    /// It cannot win.
    Barred(LossReason),
    /// It won.
    Won,
}

/// Where the clearing of a combinatorial RFQ stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Phase {
    /// The problem is being posed; this bundle, in their order, is the next.
    Posing(u32),
    /// Proposals are taken.
    Open,
    /// Winners get their contracts; this one is the next.
    Awarding(u32),
    /// Losers learn why; this bundle, in their order, is the next.
    Telling(u32),
}

/// The clearing of a combinatorial RFQ.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BundleClearing {
    /// Where it stands.
    pub phase: Phase,
    /// The bundles that can win, by number.
    pub posed: Vec<PosedBundle>,
    /// The place of each in the order of all bundles.
    pub places: Vec<u32>,
    /// Groups in the problem.
    pub groups: u32,
    /// Whether it is cleared for the second time, without proposals.
    pub is_again: bool,
    /// Proposals with prices that were accepted.
    pub price_checks: u32,
    /// The first answer, while bundles are being posed.
    first: FirstAnswer,
    /// The best allocation so far.
    pub best: Allocation,
    /// What no allocation exceeds, if a bound is known.
    pub bound: Option<Micros>,
    /// Contracts that were concluded.
    pub contracts: u32,
    /// What these cost.
    pub paid: Micros,
    /// Places of losers that stand by.
    pub standbys: Vec<u32>,
}

/// Winners, and what they are paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Allocation {
    /// Who found it; none: the exchange itself.
    pub solver: Option<AgentId>,
    /// Numbers of the problem.
    pub winners: Vec<u32>,
    /// What the buyer gains.
    pub surplus: Micros,
    /// What each is paid, by the RFQ's rule; empty: as bid.
    pub payments: Vec<ProposedPayment>,
}

/// What a combinatorial RFQ has collected.
#[derive(Debug)]
pub struct BundleBook {
    /// How it is cleared.
    pub rules: BundleRules,
    items: Vec<Item>,
    posed_items: Vec<PosedItem>,
    groups: Vec<Option<BundlesOfQuote>>,
    bundles: Slab<PlacedBundle>,
    /// The slots of the bundles, in the order in which a construction takes them.
    order: Vec<(Place, u32)>,
    /// Its clearing, once it is closed.
    pub clearing: BundleClearing,
    /// Accounts in the problem, by their slots.
    accounts: HashMap<u32, u32, FxBuildHasher>,
}

/// Denser bundles first, then earlier ones: no two have the same place.
type Place = (core::cmp::Reverse<i64>, u64, u32);

/// How a combinatorial RFQ is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BundleRules {
    /// Whether an item may be awarded more than once.
    pub free_disposal: bool,
    /// Whether nothing is awarded unless every item is.
    pub all_or_none: bool,
    /// How payments follow from the allocation.
    pub payment: PaymentRule,
    /// How long an allocation is sought, once the problem is out.
    pub clearing_within: DurationNs,
    /// Whether solvers from outside may propose allocations.
    pub external_solvers: bool,
}

impl BundleRules {
    /// Returns the rules of an RFQ.
    pub fn of(terms: &BundleTerms) -> Self {
        let BundleTerms { free_disposal, all_or_none, payment, clearing_within, .. } = *terms;
        let external_solvers = terms.external_solvers;
        Self { free_disposal, all_or_none, payment, clearing_within, external_solvers }
    }
}

impl BundleClearing {
    fn new() -> Self {
        Self {
            phase: Phase::Posing(0),
            posed: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            places: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            groups: 0,
            is_again: false,
            price_checks: 0,
            first: FirstAnswer::new(),
            best: Allocation {
                winners: Vec::with_capacity(ITEMS_MAX),
                payments: Vec::with_capacity(ITEMS_MAX),
                ..Allocation::default()
            },
            bound: None,
            contracts: 0,
            paid: Micros::ZERO,
            standbys: Vec::with_capacity(gavel_protocol::limits::STANDBYS_PER_RFQ_MAX as usize),
        }
    }

    fn clear(&mut self) {
        (self.phase, self.groups, self.bound) = (Phase::Posing(0), 0, None);
        (self.contracts, self.paid) = (0, Micros::ZERO);
        (self.is_again, self.price_checks) = (false, 0);
        self.posed.clear();
        self.places.clear();
        self.standbys.clear();
        self.first.clear();
        self.best.clear();
    }

    /// Returns whether no allocation is better.
    pub fn is_proven(&self) -> bool {
        self.bound == Some(self.best.surplus)
    }
}

impl Allocation {
    fn clear(&mut self) {
        (self.solver, self.surplus) = (None, Micros::ZERO);
        self.winners.clear();
        self.payments.clear();
    }
}

impl BundleBook {
    /// Makes room for as much as one RFQ may collect.
    fn new() -> Self {
        Self {
            rules: BundleRules {
                free_disposal: false,
                all_or_none: false,
                payment: PaymentRule::PayAsBid,
                clearing_within: DurationNs::ZERO,
                external_solvers: false,
            },
            items: Vec::with_capacity(ITEMS_MAX),
            posed_items: Vec::with_capacity(ITEMS_MAX),
            groups: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            bundles: Slab::with_capacity(BUNDLES_PER_RFQ_MAX),
            order: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            clearing: BundleClearing::new(),
            accounts: HashMap::with_capacity_and_hasher(BUNDLES_PER_RFQ_MAX, FxBuildHasher),
        }
    }

    fn begin(&mut self, rules: BundleRules, items: &[Item]) {
        self.rules = rules;
        self.accounts.clear();
        self.items.clear();
        self.items.extend_from_slice(items);
        self.posed_items.clear();
        let posed = |item| PosedItem::of(item).expect("invariant: reserves that fit were checked");
        self.posed_items.extend(items.iter().map(posed));
        self.groups.clear();
        self.bundles.clear();
        self.order.clear();
        self.clearing.clear();
    }

    /// Returns what everybody may know of what is asked for.
    pub fn public_terms(&self) -> PublicBundleTerms {
        PublicBundleTerms {
            items: self.items.iter().map(PublicItem::of).collect(),
            free_disposal: self.rules.free_disposal,
            all_or_none: self.rules.all_or_none,
            payment: self.rules.payment,
            clearing_within: self.rules.clearing_within,
            external_solvers: self.rules.external_solvers,
        }
    }

    /// Returns the items, as they are asked for.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns what each item takes of a capacity, and what its award is worth.
    pub fn posed_items(&self) -> &[PosedItem] {
        &self.posed_items
    }

    /// Returns the units of a set of items together.
    pub fn quantity_of(&self, set: &Items) -> u32 {
        set.iter().map(|item| self.items[usize::from(item)].quantity).sum()
    }

    /// Returns the reserves of a set of items together.
    pub fn worth_of(&self, set: &Items) -> Micros {
        worth_of(&self.posed_items, set)
    }

    /// Returns how many bundles there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns whether there is no bundle.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns how many bundles an account has.
    pub fn bundles_of(&self, account: AccountId) -> usize {
        let mine = self.groups.iter().flatten().filter(|group| group.owner.account == account);
        mine.map(|group| group.bundles as usize).sum()
    }

    /// Adds a group without bundles, and returns where it is.
    pub fn add_group(&mut self, group: BundlesOfQuote) -> u32 {
        let free = self.groups.iter().position(Option::is_none);
        let at = free.unwrap_or(self.groups.len());
        match free {
            Some(at) => self.groups[at] = Some(group),
            None => self.groups.push(Some(group)),
        }
        u32::try_from(at).expect("fewer groups than bundles")
    }

    /// Returns where the group of a quote is.
    pub fn group_of(&self, quote: QuoteId) -> Option<u32> {
        let is_it = |group: &Option<BundlesOfQuote>| group.is_some_and(|g| g.quote == quote);
        let at = self.groups.iter().position(is_it)?;
        Some(u32::try_from(at).expect("fewer groups than bundles"))
    }

    /// Returns a group.
    pub fn group(&self, at: u32) -> &BundlesOfQuote {
        self.groups[at as usize].as_ref().expect("invariant: a bundle ends with its group")
    }

    /// Returns a group, to note what holds at the close.
    pub fn group_mut(&mut self, at: u32) -> &mut BundlesOfQuote {
        self.groups[at as usize].as_mut().expect("invariant: a bundle ends with its group")
    }

    /// Adds a bundle to a group, and returns its name. `scoring` is what the RFQ gives for latency.
    pub fn add(
        &mut self,
        at: u32,
        offer: Bundle,
        (scoring, priority): (Scoring, u64),
    ) -> BundleRef {
        let group = self.group_mut(at);
        let (quote, number) = (group.quote, group.bundles);
        group.bundles += 1;
        let latency = scoring.latency(offer.latency_ms).expect("invariant: weights are limited");
        let worth = worth_of(&self.posed_items, &offer.items);
        let gain = worth.raw() - offer.price.raw() - latency.raw();
        let density = density(gain, offer.items.len());
        let fate = Fate::Open;
        self.place(PlacedBundle { offer, group: at, number, priority, worth, fate, density });
        BundleRef { quote, number }
    }

    fn place(&mut self, bundle: PlacedBundle) {
        let place = (core::cmp::Reverse(bundle.density), bundle.priority, bundle.number);
        let slot = u32::try_from(self.bundles.insert(bundle)).expect("fewer than 2^32");
        let at = self.order.partition_point(|(other, _)| *other < place);
        self.order.insert(at, (place, slot));
    }

    /// Removes the group of a quote with its bundles.
    pub fn remove_group(&mut self, quote: QuoteId) {
        let Some(at) = self.group_of(quote) else { return };
        self.groups[at as usize] = None;
        let bundles = &mut self.bundles;
        self.order.retain(|(_, slot)| {
            let goes = bundles[*slot as usize].group == at;
            if goes {
                bundles.remove(*slot as usize);
            }
            !goes
        });
    }

    /// Returns the bundle at a place of their order.
    pub fn at(&self, place: u32) -> &PlacedBundle {
        &self.bundles[self.order[place as usize].1 as usize]
    }

    /// Returns the bundle at a place of their order, to note what became of it.
    pub fn at_mut(&mut self, place: u32) -> &mut PlacedBundle {
        &mut self.bundles[self.order[place as usize].1 as usize]
    }

    /// Returns the name of the bundle at a place.
    pub fn name(&self, place: u32) -> BundleRef {
        let bundle = self.at(place);
        BundleRef { quote: self.group(bundle.group).quote, number: bundle.number }
    }

    /// Reads the bundles at some places and their groups, all at once: they lie in no order, and each
    /// would be waited for. Returns the groups that nobody has looked at yet.
    pub fn look_ahead(
        &self,
        places: core::ops::Range<u32>,
    ) -> impl Iterator<Item = &BundlesOfQuote> {
        for place in places.clone() {
            // One field of each of its lines in memory.
            let PlacedBundle { offer, group, density, .. } = self.at(place);
            black_box((offer.items.words()[0], offer.price, *group, *density));
        }
        let groups = places.map(|place| self.group(self.at(place).group));
        groups.filter(|group| !group.at_close.seen)
    }

    /// Scores the bundle at a place, whose group has been looked at, and makes it part of the problem
    /// if it can win.
    pub fn pose(&mut self, place: u32, scoring: Scoring, band: Option<PriceBand>) {
        let slot = self.order[place as usize].1 as usize;
        let PlacedBundle { offer, worth, group, .. } = self.bundles[slot];
        let group = self.groups[group as usize].as_mut();
        let group = group.expect("invariant: a bundle ends with its group");
        let latency = scoring.latency(offer.latency_ms);
        let score =
            latency.and_then(|latency| offer.price.plus(latency)?.plus(group.at_close.reputation));
        let score = score.expect("invariant: weights are limited, so that scores fit");
        // Nothing is paid above the reserves, nor what nobody could quote any more.
        let items = &self.items;
        let is_in_band = band.is_none_or(|band| {
            let units = offer.items.iter().map(|item| items[usize::from(item)].quantity).sum();
            band.admits(offer.price, units)
        });
        let above = (score > worth || !is_in_band).then_some(LossReason::AboveReserve);
        let (units, most) = units_of(group.rule, || load_of(&self.posed_items, &offer.items));
        let too_large = (units > most).then_some(LossReason::Unfillable);
        if let Some(reason) = group.at_close.barred.or(above).or(too_large) {
            self.bundles[slot].fate = Fate::Barred(reason);
            return;
        }
        let (groups, accounts) = (&mut self.clearing.groups, &mut self.accounts);
        let (number, account) = *group.at_close.numbers.get_or_insert_with(|| {
            let next = u32::try_from(accounts.len()).expect("fewer accounts than bundles");
            *groups += 1;
            (*groups - 1, *accounts.entry(group.owner.slots.account).or_insert(next))
        });
        let (items, price, rule) = (offer.items, offer.price, group.rule);
        let posed_as = u32::try_from(self.clearing.posed.len()).expect("fewer than 2^32");
        self.bundles[slot].fate = Fate::Posed(posed_as);
        self.clearing.posed.push(PosedBundle { items, score, price, group: number, rule, account });
        self.clearing.places.push(place);
        let gain = worth.minus(score).expect("a score is at most the worth here");
        let (problem, clearing) = self.problem_and_clearing();
        clearing.first.add(&problem, posed_as, gain);
    }

    /// Forgets the problem and all answers, to clear once more without proposals.
    pub fn clear_again(&mut self) {
        self.clearing.clear();
        self.clearing.is_again = true;
        self.accounts.clear();
        for group in self.groups.iter_mut().flatten() {
            group.at_close = GroupAtClose::default();
        }
        for (_, bundle) in &mut self.bundles {
            bundle.fate = Fate::Open;
        }
    }

    /// Ends the construction of the first answer, which is the best so far.
    pub fn construct(&mut self, scratch: &mut Scratch) {
        let (problem, clearing) = self.problem_and_clearing();
        let (first, best) = (clearing.first, clearing.best);
        best.surplus = first.finish(&problem, &mut scratch.assignment, &mut best.winners);
    }

    /// Returns the problem, as far as it is posed.
    pub fn problem(&self) -> Problem<'_> {
        Problem {
            items: &self.posed_items,
            free_disposal: self.rules.free_disposal,
            all_or_none: self.rules.all_or_none,
            bundles: &self.clearing.posed,
        }
    }

    /// Returns the problem, and what changes while it is cleared.
    fn problem_and_clearing(&mut self) -> (Problem<'_>, Answers<'_>) {
        let Self { rules, posed_items, clearing, .. } = self;
        let problem = Problem {
            items: posed_items,
            free_disposal: rules.free_disposal,
            all_or_none: rules.all_or_none,
            bundles: &clearing.posed,
        };
        (problem, Answers { first: &mut clearing.first, best: &mut clearing.best })
    }
}

/// The answers to a problem.
struct Answers<'a> {
    first: &'a mut FirstAnswer,
    best: &'a mut Allocation,
}

/// Returns what a bundle gains per square root of its size: the order that comes nearest to the best
/// when whatever fits is taken (Lehmann, O'Callaghan and Shoham 2002).
fn density(gain: i64, items: u32) -> i64 {
    let root = u64::from(items).saturating_mul(1 << 20).isqrt().max(1);
    let density = i128::from(gain) * 1_024 / i128::from(root);
    i64::try_from(density).expect("the root of one or more, times 1,024, is no less than 1,024")
}

/// The books of all open combinatorial RFQs. One that ends leaves its memory to the next.
#[derive(Debug, Default)]
pub struct BundleBooks {
    open: Slab<BundleBook>,
    spare: Vec<BundleBook>,
}

/// A book without its places in memory.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BundleBookRecord {
    rules: BundleRules,
    items: Vec<Item>,
    groups: Vec<Option<BundlesOfQuote>>,
    /// In their order.
    bundles: Vec<PlacedBundle>,
    clearing: Option<BundleClearing>,
}

impl BundleBooks {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Opens a book, and returns where it is.
    pub fn open(&mut self, rules: BundleRules, items: &[Item]) -> u32 {
        let mut book = self.spare.pop().unwrap_or_else(BundleBook::new);
        book.begin(rules, items);
        u32::try_from(self.open.insert(book)).expect("fewer than RFQS_OPEN_MAX")
    }

    /// Returns a book.
    pub fn at(&self, at: u32) -> &BundleBook {
        &self.open[at as usize]
    }

    /// Returns a book, to change it.
    pub fn at_mut(&mut self, at: u32) -> &mut BundleBook {
        &mut self.open[at as usize]
    }

    /// Closes a book for good.
    pub fn close(&mut self, at: u32) {
        let book = self.open.remove(at as usize);
        self.spare.push(book);
    }

    /// Opens a book as it was.
    pub fn restore(&mut self, record: &BundleBookRecord) -> u32 {
        let at = self.open(record.rules, &record.items);
        let book = self.at_mut(at);
        book.groups.extend_from_slice(&record.groups);
        for group in record.groups.iter().flatten() {
            if let Some((_, account)) = group.at_close.numbers {
                book.accounts.insert(group.owner.slots.account, account);
            }
        }
        for bundle in &record.bundles {
            book.place(*bundle);
        }
        if let Some(clearing) = &record.clearing {
            book.clearing.clone_from(clearing);
        }
        at
    }
}

impl BundleBookRecord {
    /// Returns a book without its places in memory.
    pub fn of(book: &BundleBook, closed: bool) -> Self {
        Self {
            rules: book.rules,
            items: book.items.clone(),
            groups: book.groups.clone(),
            bundles: (0..).zip(&book.order).map(|(place, _)| *book.at(place)).collect(),
            clearing: closed.then(|| book.clearing.clone()),
        }
    }
}
