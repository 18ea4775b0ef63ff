//! The best allocation of single quotes: bundles of one item. Whatever is awarded to bundles must gain
//! the buyer at least as much.
//!
//! It is an assignment of items to XOR groups, each of which wins at most one, found by shortest
//! augmenting paths (Jonker and Volgenant 1987), one item after the other. An item may also take its
//! way out: be left out, or go to a bundle that no other item needs, one of an OR group whose capacity
//! is enough for all its singles. Of an OR group that is tighter only as many singles as fit are
//! looked at, in the order of their numbers and if they are the best way out so far: with such groups
//! it would be a knapsack problem, and the answer may be less than the best.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use gavel_protocol::limits::{BUNDLES_PER_RFQ_MAX, ITEMS_MAX};
use gavel_protocol::{GroupRule, Micros, PosedBundle};
use rkyv::{Archive, Deserialize, Serialize};

use crate::allocation::Problem;

/// A bundle of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Single {
    item: u8,
    rule: GroupRule,
    group: u32,
    bundle: u32,
    gain: i64,
}

impl Single {
    /// Returns a bundle as a single, if it is one.
    pub(crate) fn of(problem: &Problem<'_>, number: u32, gain: Micros) -> Option<Self> {
        let PosedBundle { items, rule, group, .. } = problem.bundles[number as usize];
        let item = items.iter().next().filter(|_| items.len() == 1)?;
        Some(Self { item, rule, group, bundle: number, gain: gain.raw() })
    }
}

/// A way to award an item: to a bundle of an XOR group.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    group: u32,
    /// What it gains beside the item's way out, above zero.
    gain: i64,
    bundle: u32,
}

/// A group that a path may lead to.
#[derive(Clone, Copy, Debug)]
struct Reached {
    group: u32,
    cost: i64,
    /// By which edge, of which item.
    edge: usize,
    from: usize,
    /// Whether no cheaper path leads there.
    is_final: bool,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In a group that has no item yet: its place among those reached.
    Group(usize),
    /// With an item that takes its way out.
    WayOut(usize),
}

/// What the assignment needs; reused, so that nothing is allocated.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// Those of one item lie next to each other, up to its end.
    edges: Vec<Edge>,
    ends: Vec<usize>,
    /// What each item gains by its way out, and the bundle, unless it is left out.
    outs: Vec<(i64, Option<u32>)>,
    /// The edge that each item is awarded by; without one it takes its way out.
    awarded: Vec<Option<usize>>,
    /// Dual prices: an edge's two are at least its gain, an item's at least zero.
    item_price: Vec<i64>,
    groups: Vec<GroupState>,
    reached: Vec<Reached>,
    /// What paths to these cost, and their places, the least first.
    open: BinaryHeap<Reverse<(i64, usize)>>,
    /// Items whose edges have been looked at, and what the path to them costs.
    visited: Vec<(usize, i64)>,
}

/// What is known of a group: next to each other, because groups come in no order.
#[derive(Clone, Copy, Debug, Default)]
struct GroupState {
    /// Its dual price.
    price: i64,
    /// The item that it is awarded, if it is an XOR group.
    item: Option<u8>,
    /// Where it is among those reached, plus one.
    place: u32,
    /// The loads of its singles, and of those that are a way out.
    loads: (u32, u32),
}

impl Assignment {
    /// Makes room for the largest problem.
    pub(crate) fn new() -> Self {
        Self {
            edges: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            ends: Vec::with_capacity(ITEMS_MAX),
            outs: Vec::with_capacity(ITEMS_MAX),
            awarded: Vec::with_capacity(ITEMS_MAX),
            item_price: Vec::with_capacity(ITEMS_MAX),
            groups: vec![GroupState::default(); BUNDLES_PER_RFQ_MAX],
            reached: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            open: BinaryHeap::with_capacity(BUNDLES_PER_RFQ_MAX),
            visited: Vec::with_capacity(ITEMS_MAX),
        }
    }

    /// Finds the best allocation of single quotes, puts its winners into `winners`, and returns its
    /// surplus.
    pub(crate) fn solve(
        &mut self,
        problem: &Problem<'_>,
        singles: &[Single],
        winners: &mut Vec<u32>,
    ) -> Micros {
        let items = problem.items.len();
        // Where all or none are wanted, an award is worth more than any difference of prices.
        let reserves = problem.items.iter().map(|item| item.reserve.raw());
        let premium = if problem.all_or_none { reserves.sum::<i64>() + 1 } else { 0 };
        self.clear(items);
        self.find_ways_out(problem, singles, premium);
        self.find_edges(singles, premium);
        (0..items).for_each(|item| self.bring_in(item));

        winners.clear();
        for item in 0..items {
            let by_group = self.awarded[item].map(|edge| self.edges[edge].bundle);
            winners.extend(by_group.or(self.outs[item].1));
        }
        if problem.all_or_none && winners.len() < items {
            winners.clear();
        }
        let gains = winners.iter().map(|winner| problem.gain(*winner).raw());
        let surplus = gains.sum();
        for single in singles {
            self.groups[single.group as usize] = GroupState::default();
        }
        Micros::new(surplus)
    }

    fn clear(&mut self, items: usize) {
        self.outs.clear();
        self.outs.resize(items, (0, None));
        self.awarded.clear();
        self.awarded.resize(items, None);
        self.item_price.clear();
        self.item_price.resize(items, 0);
        self.edges.clear();
        self.ends.clear();
        self.ends.resize(items, 0);
    }

    fn find_ways_out(&mut self, problem: &Problem<'_>, singles: &[Single], premium: i64) {
        let load = |single: &Single| problem.items[usize::from(single.item)].load;
        for single in singles {
            // As many loads as there may be bundles do not fit: what is too much is tight anyway.
            let all = &mut self.groups[single.group as usize].loads.0;
            *all = all.saturating_add(load(single));
        }
        for looks_at_tight in [false, true] {
            for single in singles {
                let GroupRule::Or(capacity) = single.rule else { continue };
                let (all, used) = &mut self.groups[single.group as usize].loads;
                let is_tight = *all > capacity;
                let gain = single.gain + premium;
                let (out, known) = self.outs[usize::from(single.item)];
                if is_tight != looks_at_tight || (known.is_some() && gain <= out) {
                    continue;
                }
                let load = load(single);
                if is_tight && *used + load > capacity {
                    continue;
                }
                *used += load;
                self.outs[usize::from(single.item)] = (gain, Some(single.bundle));
            }
        }
    }

    /// Lists the edges that gain something, item by item.
    fn find_edges(&mut self, singles: &[Single], premium: i64) {
        let outs = &self.outs;
        let edge = |single: &Single| {
            let item = usize::from(single.item);
            let gain = single.gain + premium - outs[item].0;
            let Single { group, bundle, .. } = *single;
            let pays = single.rule == GroupRule::Xor && gain > 0;
            pays.then_some((item, Edge { group, gain, bundle }))
        };
        for (item, _) in singles.iter().filter_map(edge) {
            self.ends[item] += 1;
        }
        let mut end = 0;
        for count in &mut self.ends {
            end += core::mem::replace(count, end);
        }
        self.edges.resize(end, Edge::default());
        // Each end is where the item's next edge goes, until all are there.
        for (item, edge) in singles.iter().filter_map(edge) {
            self.edges[self.ends[item]] = edge;
            self.ends[item] += 1;
        }
    }

    fn edges_of(&self, item: usize) -> core::ops::Range<usize> {
        item.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[item]
    }

    /// Brings an item in along the path that gains most: others on it change groups, or take their way
    /// out.
    fn bring_in(&mut self, item: usize) {
        let rest = |edge: usize| {
            let Edge { group, gain, .. } = self.edges[edge];
            gain - self.groups[group as usize].price
        };
        let edges = self.edges_of(item).map(|edge| (rest(edge), edge));
        let most = edges.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let Some((most, edge)) = most.filter(|(most, _)| *most > 0) else { return };
        self.item_price[item] = most;
        let group = &mut self.groups[self.edges[edge].group as usize];
        if group.item.is_none() {
            // The usual case: no path is shorter than one that costs nothing.
            group.item = Some(u8::try_from(item).expect("fewer than ITEMS_MAX"));
            self.awarded[item] = Some(edge);
            return;
        }
        self.reached.clear();
        self.visited.clear();
        self.open.clear();
        let (mut at, mut cost) = (item, 0);
        let mut way_out = (self.item_price[item], item);
        let (end_cost, end) = loop {
            self.visited.push((at, cost));
            way_out = way_out.min((cost + self.item_price[at], at));
            self.look_from(at, cost);
            let next = self.nearest().filter(|place| self.reached[*place].cost < way_out.0);
            let Some(next) = next else { break (way_out.0, End::WayOut(way_out.1)) };
            let reached = &mut self.reached[next];
            reached.is_final = true;
            cost = reached.cost;
            match self.groups[reached.group as usize].item {
                None => break (cost, End::Group(next)),
                Some(other) => at = usize::from(other),
            }
        };
        self.change_prices(end_cost);
        self.award_along(end);
        for reached in &self.reached {
            self.groups[reached.group as usize].place = 0;
        }
    }

    /// Returns the cheapest of the groups to which a cheaper path may still be found.
    fn nearest(&mut self) -> Option<usize> {
        while let Some(Reverse((cost, place))) = self.open.pop() {
            // What has become cheaper stands there twice.
            let reached = &self.reached[place];
            if !reached.is_final && reached.cost == cost {
                return Some(place);
            }
        }
        None
    }

    fn look_from(&mut self, item: usize, cost: i64) {
        for edge in self.edges_of(item) {
            let Edge { group, gain, .. } = self.edges[edge];
            let state = &mut self.groups[group as usize];
            let cost = cost + self.item_price[item] + state.price - gain;
            let found = Reached { group, cost, edge, from: item, is_final: false };
            match (state.place as usize).checked_sub(1) {
                None => {
                    self.open.push(Reverse((cost, self.reached.len())));
                    self.reached.push(found);
                    state.place = u32::try_from(self.reached.len()).expect("fewer than 2^32");
                }
                Some(known) if self.reached[known].is_final => {}
                Some(known) if self.reached[known].cost <= found.cost => {}
                Some(known) => {
                    self.open.push(Reverse((cost, known)));
                    self.reached[known] = found;
                }
            }
        }
    }

    fn change_prices(&mut self, end: i64) {
        for (item, cost) in &self.visited {
            self.item_price[*item] -= (end - cost).max(0);
        }
        for reached in self.reached.iter().filter(|reached| reached.is_final) {
            self.groups[reached.group as usize].price += (end - reached.cost).max(0);
        }
    }

    /// Awards along the path, from its end back to the item that came in, which had no group.
    fn award_along(&mut self, end: End) {
        let mut next = match end {
            End::Group(place) => Some(place),
            End::WayOut(item) => self.awarded[item].take().map(|edge| self.place_of(edge)),
        };
        while let Some(place) = next {
            let Reached { group, edge, from, .. } = self.reached[place];
            let item = u8::try_from(from).expect("fewer than ITEMS_MAX");
            self.groups[group as usize].item = Some(item);
            let before = self.awarded[from].replace(edge);
            next = before.map(|edge| self.place_of(edge));
        }
    }

    fn place_of(&self, edge: usize) -> usize {
        let place = self.groups[self.edges[edge].group as usize].place as usize;
        place.checked_sub(1).expect("an item on the path is there because its group was reached")
    }
}
