//! What is constructed is feasible, and never below the best of single quotes; what prices prove is a
//! bound. Beside all subsets of bundles.

#![expect(clippy::unwrap_used, reason = "tests")]

use gavel_matcher::{Problem, Scratch};
use gavel_protocol::{DualPrices, GroupRule, Items, Micros, PosedBundle, PosedItem};
use proptest::prelude::*;

const BUNDLES_MAX: usize = 12;

#[derive(Clone, Debug)]
struct Drawn {
    items: Vec<PosedItem>,
    bundles: Vec<PosedBundle>,
    free_disposal: bool,
    all_or_none: bool,
}

impl Drawn {
    fn problem(&self) -> Problem<'_> {
        Problem {
            items: &self.items,
            free_disposal: self.free_disposal,
            all_or_none: self.all_or_none,
            bundles: &self.bundles,
        }
    }

    /// Returns the best surplus of all subsets of the bundles that may win.
    fn best(&self, may: impl Fn(&PosedBundle) -> bool) -> i64 {
        let mut scratch = Scratch::new();
        let numbers: Vec<u32> =
            (0..).zip(&self.bundles).filter(|(_, b)| may(b)).map(|(number, _)| number).collect();
        let subset = |set: u32| -> Vec<u32> {
            let chosen = numbers.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
            chosen.map(|(_, number)| *number).collect()
        };
        let problem = self.problem();
        let surplus = |set| problem.surplus(&subset(set), &mut scratch);
        (0_u32..1 << numbers.len()).filter_map(surplus).max().unwrap().raw()
    }
}

/// Draws a problem; `tight` says whether capacities may be less than all loads of a group.
fn drawn(tight: bool) -> impl Strategy<Value = Drawn> {
    (1_usize..=6).prop_flat_map(move |items| {
        let item = (1_u32..=3, 1_i64..=40);
        let rule = prop_oneof![
            Just(GroupRule::Xor),
            (if tight { 1_u32..=6 } else { 100..=200 }).prop_map(GroupRule::Or)
        ];
        // Mostly one item, so that groups are wanted by several.
        let set = prop_oneof![
            3 => (0..items).prop_map(|item| 1_u64 << item),
            1 => 1_u64..1 << items,
        ];
        let bundle = (set, 0_i64..=100, 0_u32..4);
        (
            prop::collection::vec(item, items),
            prop::collection::vec(rule, 4),
            prop::collection::vec(bundle, 0..=BUNDLES_MAX),
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(|(items, rules, bundles, free_disposal, all_or_none)| {
                let items: Vec<_> = items
                    .into_iter()
                    .map(|(load, reserve)| PosedItem { load, reserve: Micros::new(reserve) })
                    .collect();
                // Groups are numbered without gaps, in the order in which they come.
                let mut known: Vec<u32> = Vec::new();
                let bundles = bundles.into_iter().map(|(set, percent, group)| {
                    let set = Items::from_words([set, 0, 0, 0]);
                    let worth: i64 = set.iter().map(|i| items[usize::from(i)].reserve.raw()).sum();
                    let number = known.iter().position(|g| *g == group).unwrap_or_else(|| {
                        known.push(group);
                        known.len() - 1
                    });
                    let score = Micros::new((worth * percent / 100).max(1));
                    PosedBundle {
                        items: set,
                        score,
                        price: score,
                        group: u32::try_from(number).unwrap(),
                        rule: rules[group as usize],
                        account: 0,
                    }
                });
                let bundles = bundles.collect();
                Drawn { items, bundles, free_disposal, all_or_none }
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_is_constructed_is_at_least_the_best_of_single_quotes(drawn in drawn(false)) {
        let (mut scratch, mut winners) = (Scratch::new(), Vec::new());
        let problem = drawn.problem();
        let surplus = problem.construct(&mut scratch, &mut winners);
        prop_assert_eq!(problem.surplus(&winners, &mut scratch), Some(surplus));
        prop_assert!(surplus.raw() >= drawn.best(|bundle| bundle.items.len() == 1));
        prop_assert!(surplus.raw() <= drawn.best(|_| true));
    }

    #[test]
    fn with_tight_groups_it_is_feasible_too(drawn in drawn(true)) {
        let (mut scratch, mut winners) = (Scratch::new(), Vec::new());
        let problem = drawn.problem();
        let surplus = problem.construct(&mut scratch, &mut winners);
        prop_assert_eq!(problem.surplus(&winners, &mut scratch), Some(surplus));
    }

    #[test]
    fn whatever_prices_prove_is_a_bound(
        drawn in drawn(true),
        items in prop::collection::vec(-1_i64..60, 6),
        groups in prop::collection::vec(-1_i64..30, 4),
    ) {
        let problem = drawn.problem();
        let count = problem.bundles.iter().map(|b| b.group as usize + 1).max().unwrap_or(0);
        let prices = DualPrices {
            items: items[..problem.items.len()].iter().map(|p| Micros::new(*p)).collect(),
            groups: groups[..count].iter().map(|p| Micros::new(*p)).collect(),
        };
        let bound = problem.bound(&prices, &mut Scratch::new());
        let negative = prices.items.iter().chain(&prices.groups).any(|price| *price < Micros::ZERO);
        prop_assert!(!negative || bound.is_none());
        if let Some(bound) = bound {
            prop_assert!(bound.raw() >= drawn.best(|_| true));
        }
    }
}
