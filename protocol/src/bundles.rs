//! Combinatorial RFQs: items, bundles of them, groups of bundles, and the allocations that solvers
//! propose.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::payloads;
use crate::command::{QuoteSignature, choice, record};
use crate::event::happened;
use crate::ids::{AgentId, ClientId, QuoteId, RfqId};
use crate::limits::ITEMS_MAX;
use crate::money::Micros;
use crate::reason::LossReason;
use crate::terms::plain;
use crate::time::{DurationNs, TimestampNs};

/// Words of a set of items.
const WORDS: usize = ITEMS_MAX / 64;

/// A set of items, each a number from 0 to 255. As JSON: a list of numbers.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
)]
#[rkyv(derive(Debug))]
pub struct Items([u64; WORDS]);

impl Items {
    /// No item.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Returns the set whose item `i` is bit `i % 64` of word `i / 64`.
    pub const fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// Returns the words: item `i` is bit `i % 64` of word `i / 64`.
    pub const fn words(&self) -> &[u64; WORDS] {
        &self.0
    }

    /// Returns the first `count` items, at most 256.
    pub fn first(count: usize) -> Self {
        (0..ITEMS_MAX).take(count).filter_map(|item| u8::try_from(item).ok()).collect()
    }

    /// Puts an item in; returns whether it was not in.
    pub const fn insert(&mut self, item: u8) -> bool {
        let (word, bit) = (item as usize / 64, 1 << (item % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Returns whether an item is in.
    pub const fn contains(&self, item: u8) -> bool {
        self.0[item as usize / 64] >> (item % 64) & 1 == 1
    }

    /// Returns whether no item is in.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Returns how many items are in.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Returns whether an item is in both.
    pub fn meets(&self, other: &Self) -> bool {
        !self.and(other).is_empty()
    }

    /// Returns whether everything that is in this is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.and(other) == *self
    }

    /// Returns the items that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Returns the items that are in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Returns the items that are in this and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    /// Returns the items in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let words = self.0;
        (0..=u8::MAX).step_by(64).zip(words).flat_map(|(base, word)| Bits { base, word })
    }
}

/// The bits of one word, in ascending order.
struct Bits {
    base: u8,
    word: u64,
}

impl Iterator for Bits {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.word == 0 {
            return None;
        }
        let bit = u8::try_from(self.word.trailing_zeros()).expect("a word has 64 bits");
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

impl FromIterator<u8> for Items {
    fn from_iter<I: IntoIterator<Item = u8>>(items: I) -> Self {
        let mut set = Self::EMPTY;
        for item in items {
            set.insert(item);
        }
        set
    }
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, item) in self.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = Self::EMPTY;
        for item in Vec::<u8>::deserialize(deserializer)? {
            if !set.insert(item) {
                return Err(D::Error::custom(format_args!("item {item} stands there twice")));
            }
        }
        Ok(set)
    }
}

plain! {
    /// One of the things that a combinatorial RFQ asks for. It is awarded whole, or not at all.
    pub struct Item {
        /// Units of work.
        pub quantity: u32,
        /// What it takes of a group's capacity, in whatever unit the RFQ's spec names.
        pub load: u32,
        /// The most that the buyer pays per unit. Nobody else learns it before the close.
        pub reserve: Micros,
    }

    /// What everybody may know of an item.
    pub struct PublicItem {
        /// Units of work.
        pub quantity: u32,
        /// What it takes of a group's capacity.
        pub load: u32,
    }

    /// A set of items for one price.
    pub struct Bundle {
        /// The items, at least one.
        pub items: Items,
        /// The price of all of them together, above zero.
        pub price: Micros,
        /// How long the work takes, from the award to the delivery, in milliseconds.
        pub latency_ms: u32,
    }

    /// What makes a new group of bundles, and what goes for all of them.
    pub struct NewGroup {
        /// How many of them may win.
        pub rule: GroupRule,
        /// They are firm until then; at least until the RFQ is decided.
        pub valid_until: TimestampNs,
        /// Those that lose stand by until then, to take over from winners that fail.
        pub standby_until: Option<TimestampNs>,
    }

    /// A bundle of a problem, without whose it is.
    pub struct PosedBundle {
        /// Its items.
        pub items: Items,
        /// Its price with what latency and reputation are worth.
        pub score: Micros,
        /// Its price.
        pub price: Micros,
        /// The number of its group in the problem.
        pub group: u32,
        /// The group's rule.
        pub rule: GroupRule,
        /// The number of the account in the problem: payments are reckoned per account.
        pub account: u32,
    }

    /// What a winning bundle is paid, as a solver has reckoned it.
    pub struct ProposedPayment {
        /// The least it can be by the rule: what is paid.
        pub low: Micros,
        /// The most it can be: the same, if it is proven.
        pub high: Micros,
    }
}

choice! {
    /// How many bundles of a group may win.
    pub enum GroupRule {
        /// At most one.
        Xor,
        /// Any whose loads, of all items of all of them, add up to no more than this capacity, which
        /// is above zero.
        Or(u32),
    }

    /// How payments follow from the allocation.
    pub enum PaymentRule {
        /// Each winner is paid what it asks.
        PayAsBid,
        /// Each account is paid, beside what it asks, what the allocation gains by its taking part
        /// (Vickrey 1961, Clarke 1971, Groves 1973).
        Vcg,
        /// The payments nearest to VCG that no other set of providers could better for the buyer
        /// (Day and Cramton 2012).
        Core,
    }

    /// The group that bundles come into.
    pub enum BundleGroup {
        /// A new one.
        New(NewGroup),
        /// One of the agent's own for the same RFQ.
        Existing(QuoteId),
    }
}

plain! {
    /// One bundle of a group.
    pub struct BundleRef {
        /// The group: it is one quote.
        pub quote: QuoteId,
        /// Which of its bundles, from 0 in the order in which they came.
        pub number: u32,
    }

    /// What a contract for a bundle rests on.
    pub struct BundleAward {
        /// The items that are awarded with it.
        pub items: Items,
        /// How much better than this allocation another could be at the most: zero if it is proven to
        /// be the best; none if no bound is known.
        pub gap: Option<Micros>,
        /// The rule that its payment follows: as bid, unless the allocation is proven.
        pub payment: PaymentRule,
        /// The most that the payment could be by that rule: what is paid, if it is proven.
        pub payment_high: Micros,
    }
}

record! {
    /// What a combinatorial RFQ asks for.
    pub struct BundleTerms {
        /// 1 to 256 items.
        pub items: Vec<Item>,
        /// Whether an item may be awarded more than once, and paid in full each time.
        pub free_disposal: bool,
        /// Whether nothing is awarded unless every item is.
        pub all_or_none: bool,
        /// How payments follow from the allocation.
        pub payment: PaymentRule,
        /// How long an allocation is sought, once the problem is out.
        pub clearing_within: DurationNs,
        /// Whether solvers from outside may propose allocations: they learn prices, loads and
        /// reserves after the close, and no names.
        pub external_solvers: bool,
    }

    /// What everybody may know of a combinatorial RFQ: all but the reserves.
    pub struct PublicBundleTerms {
        /// The items.
        pub items: Vec<PublicItem>,
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

    /// Quotes bundles for a combinatorial RFQ, 1 to 256 at a time.
    pub struct QuoteBundles {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The RFQ that is answered.
        pub rfq: RfqId,
        /// The group that they come into.
        pub group: BundleGroup,
        /// The bundles.
        pub bundles: Vec<Bundle>,
        /// The provider's signature.
        pub signature: Option<Box<QuoteSignature>>,
    }

    /// Proposes which bundles of a problem win.
    pub struct ProposeAllocation {
        /// The RFQ that is being cleared.
        pub rfq: RfqId,
        /// The winners, by their numbers in the problem, each once.
        pub winners: Vec<u32>,
        /// The buyer's surplus: the reserves of what is awarded, less the scores.
        pub surplus: Micros,
        /// What no allocation exceeds. Taken on trust from the exchange's own solvers only.
        pub bound: Option<Micros>,
        /// Prices that prove the bound to anybody.
        pub prices: Option<DualPrices>,
        /// What each winner is paid, in their order, by the RFQ's rule. Only from the exchange's own
        /// solvers; without them, as bid.
        pub payments: Vec<ProposedPayment>,
    }

    /// Prices that prove a bound: whoever wins an item pays its price, and whoever uses a group's
    /// capacity the group's price for each unit of it. No allocation is worth more than all prices
    /// together, and what each bundle is worth beyond those that it pays.
    pub struct DualPrices {
        /// Per item, at least zero; with free disposal at most its reserve.
        pub items: Vec<Micros>,
        /// Per group, at least zero, for a unit of capacity: an XOR group has one.
        pub groups: Vec<Micros>,
    }

    /// A combinatorial RFQ is being cleared: its problem, of which the bundles follow.
    pub struct ProblemPosed {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Proposals are taken until then, on the clock of sequenced time.
        pub ends_at: TimestampNs,
        /// What each item takes of a capacity, and what its award is worth.
        pub items: Vec<PosedItem>,
        /// Whether an item may be awarded more than once.
        pub free_disposal: bool,
        /// Whether nothing is awarded unless every item is.
        pub all_or_none: bool,
        /// How payments follow from the allocation.
        pub payment: PaymentRule,
        /// Whether solvers from outside may propose allocations.
        pub external_solvers: bool,
        /// How many bundles there are.
        pub bundles: u32,
        /// How many groups there are.
        pub groups: u32,
    }

    /// A whole problem.
    pub struct Problem {
        /// What it is about.
        pub posed: ProblemPosed,
        /// The bundles, by their numbers.
        pub bundles: Vec<PosedBundle>,
    }

    /// Bundles of a problem.
    pub struct ProblemBundles {
        /// Of which RFQ.
        pub rfq: RfqId,
        /// The number of the first.
        pub first: u32,
        /// The bundles.
        pub bundles: Vec<PosedBundle>,
    }
}

plain! {
    /// An item of a problem.
    pub struct PosedItem {
        /// What it takes of a group's capacity.
        pub load: u32,
        /// The buyer's reserve for all of it.
        pub reserve: Micros,
    }
}

happened! {
    /// Bundles were quoted.
    pub struct BundlesQuoted {
        /// Their group.
        pub quote: QuoteId,
        /// The RFQ that is answered.
        pub rfq: RfqId,
        /// Who quotes.
        pub provider: AgentId,
        /// How many of the group may win.
        pub rule: GroupRule,
        /// How many came with this command.
        pub bundles: u32,
    }

    /// One of the bundles that were quoted.
    pub struct BundleQuoted {
        /// Which one.
        pub bundle: BundleRef,
        /// For which RFQ.
        pub rfq: RfqId,
        /// Who quotes.
        pub provider: AgentId,
        /// What is offered.
        pub offer: Bundle,
    }

    /// A combinatorial RFQ takes no more quotes, and is being cleared.
    pub struct ClearingStarted {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Proposals are taken until then.
        pub ends_at: TimestampNs,
        /// Bundles that compete and can win.
        pub bundles: u32,
        /// Their groups.
        pub groups: u32,
    }

    /// Bundles of a problem, which travel beside the events, in their order.
    pub struct BundlesPosed {
        /// Of which RFQ.
        pub rfq: RfqId,
        /// The number of the first.
        pub first: u32,
        /// How many.
        pub bundles: u32,
    }

    /// An allocation was proposed, and is better than what there was, or proves more.
    pub struct AllocationProposed {
        /// For which RFQ.
        pub rfq: RfqId,
        /// By whom: the exchange's own solvers have the exchange's id.
        pub solver: AgentId,
        /// The surplus, as the exchange has recomputed it.
        pub surplus: Micros,
        /// What no allocation exceeds, as far as it is known now.
        pub bound: Option<Micros>,
    }

    /// A combinatorial RFQ was cleared: the awards follow.
    pub struct RfqCleared {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who asked.
        pub buyer: AgentId,
        /// Who found the allocation; none: the exchange's own first answer stands.
        pub solver: Option<AgentId>,
        /// What the buyer gains beside leaving every item at its reserve.
        pub surplus: Micros,
        /// What no allocation exceeds, if a bound is known: the same if it is proven to be the best.
        pub bound: Option<Micros>,
        /// The rule that payments follow: as bid, unless the allocation is proven.
        pub payment: PaymentRule,
        /// Bundles that won.
        pub winners: u32,
        /// The items that are awarded.
        pub items: Items,
    }

    /// A bundle lost.
    pub struct BundleLost {
        /// For which RFQ.
        pub rfq: RfqId,
        /// Whose.
        pub provider: AgentId,
        /// Which one.
        pub bundle: BundleRef,
        /// Why.
        pub reason: LossReason,
        /// Its items that went to others.
        pub lost_on: Items,
        /// The price below which it would have been worth more than the bundles that it lost to, where
        /// the RFQ discloses it, and there is one.
        pub price_to_win: Option<Micros>,
    }
}

payloads!(QuoteBundles, ProposeAllocation, ProblemPosed, ProblemBundles, RfqCleared, BundleLost);

impl BundleTerms {
    /// Returns the sum of the reserves, or `None` if it does not fit.
    pub fn reserve(&self) -> Option<Micros> {
        self.items.iter().try_fold(Micros::ZERO, |sum, item| sum.plus(item.worth()?))
    }
}

impl Item {
    /// Returns what the buyer pays for all of it at the most.
    pub fn worth(&self) -> Option<Micros> {
        self.reserve.times(self.quantity)
    }
}

impl PublicItem {
    /// Returns what everybody may know of an item.
    pub fn of(item: &Item) -> Self {
        Self { quantity: item.quantity, load: item.load }
    }
}

impl PosedItem {
    /// Returns an item as solvers see it, or `None` if its reserve does not fit.
    pub fn of(item: &Item) -> Option<Self> {
        Some(Self { load: item.load, reserve: item.worth()? })
    }
}

impl ProblemPosed {
    /// Returns the problem of an RFQ that is being cleared, or `None` if a reserve does not fit.
    pub fn of(terms: &BundleTerms, started: &ClearingStarted) -> Option<Self> {
        Some(Self {
            rfq: started.rfq,
            ends_at: started.ends_at,
            items: terms.items.iter().map(PosedItem::of).collect::<Option<_>>()?,
            free_disposal: terms.free_disposal,
            all_or_none: terms.all_or_none,
            payment: terms.payment,
            external_solvers: terms.external_solvers,
            bundles: started.bundles,
            groups: started.groups,
        })
    }
}

impl PublicBundleTerms {
    /// Returns what everybody may know of a combinatorial RFQ.
    pub fn of(terms: &BundleTerms) -> Self {
        Self {
            items: terms.items.iter().map(PublicItem::of).collect(),
            free_disposal: terms.free_disposal,
            all_or_none: terms.all_or_none,
            payment: terms.payment,
            clearing_within: terms.clearing_within,
            external_solvers: terms.external_solvers,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_set_of_items_is_written_as_its_numbers() {
        let items: Items = [200, 3, 64].into_iter().collect();
        assert_eq!(serde_json::to_string(&items).unwrap(), "[3,64,200]");
        assert_eq!(serde_json::from_str::<Items>("[64,3,200]").unwrap(), items);
        let twice = serde_json::from_str::<Items>("[1,1]").unwrap_err();
        assert!(twice.to_string().contains("item 1 stands there twice"), "{twice}");
        assert!(serde_json::from_str::<Items>("[256]").is_err());
    }

    #[test]
    fn sets_are_compared_by_their_items() {
        let set = |items: &[u8]| items.iter().copied().collect::<Items>();
        let (few, many) = (set(&[1, 255]), set(&[0, 1, 128, 255]));
        assert!(few.is_within(&many) && !many.is_within(&few) && few.meets(&many));
        assert_eq!(many.without(&few), set(&[0, 128]));
        assert_eq!((few.or(&set(&[7])).len(), Items::first(256).len()), (3, 256));
    }
}
