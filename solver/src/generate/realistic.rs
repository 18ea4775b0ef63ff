//! The five realistic families of CATS, in outline: regions of a map, arbitrary relations, paths in
//! a network, matching of slots at four airports, and scheduling of jobs on one machine.

use super::{Draw, Offer, Size};
use crate::items::Items;

/// Regions: a bidder grows its bundle over neighbours on a grid, and bids on alternatives.
pub(super) fn regions(draw: &mut Draw, size: Size) -> Vec<Offer> {
    let side = (size.items as f64).sqrt().ceil() as usize;
    let near = symmetric(size.items, |item, other| {
        let dx = (item % side).abs_diff(other % side);
        let dy = (item / side).abs_diff(other / side);
        let diagonal = dx == 1 && dy == 1 && draw.happens(0.2);
        if dx + dy == 1 || diagonal { 1.0 } else { 0.0 }
    });
    related(draw, size, &near)
}

/// Arbitrary: as regions, but how much items have to do with each other is drawn.
pub(super) fn arbitrary(draw: &mut Draw, size: Size) -> Vec<Offer> {
    let near = symmetric(size.items, |_, _| draw.share());
    related(draw, size, &near)
}

fn symmetric(items: usize, mut weight: impl FnMut(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let mut near: Vec<Vec<f64>> = Vec::new();
    for item in 0..items {
        let row: Vec<_> = (0..item).map(|other| weight(item, other)).collect();
        for (other, weight) in near.iter_mut().zip(&row) {
            other.push(*weight);
        }
        near.push(row.into_iter().chain([0.0]).collect());
    }
    near
}

fn related(draw: &mut Draw, size: Size, near: &[Vec<f64>]) -> Vec<Offer> {
    const ALTERNATIVES_MAX: usize = 5;
    const ADDITIVITY: f64 = 0.2;
    const MORE: f64 = 0.9;
    let shared: Vec<_> = (0..size.items).map(|_| draw.between(1.0, 100.0)).collect();
    let mut offers: Vec<Offer> = Vec::new();
    let mut bidder = 0;
    while offers.len() < size.bids {
        let own: Vec<_> = (0..size.items).map(|_| draw.between(-0.5, 0.5)).collect();
        let value = |items: &Items| {
            let each = items.iter().map(usize::from);
            let sum: f64 = each.map(|item| shared[item] * (1.0 + own[item])).sum();
            sum + f64::from(items.len()).powf(1.0 + ADDITIVITY)
        };
        let weights: Vec<_> = own.iter().map(|own| own + 0.5).collect();
        let first = grown(draw, near, &weights, |draw, _| draw.happens(MORE));
        let worth = value(&first);
        let mut bids = vec![(first, worth)];
        for _ in 0..ALTERNATIVES_MAX - 1 {
            let Some(start) = draw.weighted(&weights).filter(|item| first.contains(*item as u8))
            else {
                continue;
            };
            let mut only = vec![0.0; size.items];
            only[start] = 1.0;
            let target = first.len() as usize;
            let other = grown_from(draw, near, &weights, start, |_, count| count < target);
            let other_worth = value(&other);
            let seen = bids.iter().any(|(items, _)| *items == other);
            if other_worth >= 0.5 * worth && !seen {
                bids.push((other, other_worth));
            }
        }
        offers.extend(bids.into_iter().map(|(items, value)| (items, value, Some(bidder))));
        bidder += 1;
    }
    offers
}

fn grown(
    draw: &mut Draw,
    near: &[Vec<f64>],
    weights: &[f64],
    more: impl FnMut(&mut Draw, usize) -> bool,
) -> Items {
    let start = draw.weighted(weights).unwrap_or(0);
    grown_from(draw, near, weights, start, more)
}

fn grown_from(
    draw: &mut Draw,
    near: &[Vec<f64>],
    weights: &[f64],
    start: usize,
    mut more: impl FnMut(&mut Draw, usize) -> bool,
) -> Items {
    let mut items = Items::from_iter([start as u8]);
    let mut pull = near[start].clone();
    let mut count = 1;
    while more(draw, count) {
        let likely: Vec<_> = (0..weights.len())
            .map(|item| if items.contains(item as u8) { 0.0 } else { pull[item] * weights[item] })
            .collect();
        let Some(next) = draw.weighted(&likely) else { break };
        items.insert(next as u8);
        count += 1;
        for (pull, near) in pull.iter_mut().zip(&near[next]) {
            *pull += near;
        }
    }
    items
}

/// Paths: items are the links of a network of near cities; a bidder wants any short path between
/// two of them.
pub(super) fn paths(draw: &mut Draw, size: Size) -> Vec<Offer> {
    const PATHS_MAX: usize = 20;
    // There may be very many ways that lead nowhere.
    const STEPS_MAX: u32 = 2_000;
    let cities = (size.items / 2).max(4);
    let places: Vec<_> = (0..cities).map(|_| (draw.share(), draw.share())).collect();
    let apart = |a: usize, b: usize| {
        let ((x, y), (z, w)) = (places[a], places[b]);
        ((x - z).powi(2) + (y - w).powi(2)).sqrt()
    };
    let mut pairs: Vec<_> = (0..cities).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    pairs.sort_by(|a, b| apart(a.0, a.1).total_cmp(&apart(b.0, b.1)));
    pairs.truncate(size.items);
    let mut offers: Vec<Offer> = Vec::new();
    let mut bidder = 0;
    // Cities that no path joins are drawn again, but not for ever.
    for _ in 0..size.bids * 10 {
        if offers.len() >= size.bids {
            break;
        }
        let (from, to) = (draw.below(cities), draw.below(cities));
        if from == to {
            continue;
        }
        let worth = apart(from, to) * draw.between(1.0, 2.0);
        let mut found = Vec::new();
        let mut walk = Walk { pairs: &pairs, to, worth, most: PATHS_MAX, steps: STEPS_MAX };
        walk.on(&apart, from, Items::EMPTY, 1_u128 << (from % 128), 0.0, &mut found);
        if found.is_empty() {
            continue;
        }
        offers.extend(found.into_iter().map(|(items, left)| (items, left, Some(bidder))));
        bidder += 1;
    }
    offers.truncate(size.bids);
    offers
}

struct Walk<'a> {
    pairs: &'a [(usize, usize)],
    to: usize,
    worth: f64,
    most: usize,
    steps: u32,
}

impl Walk<'_> {
    fn on(
        &mut self,
        apart: &impl Fn(usize, usize) -> f64,
        at: usize,
        links: Items,
        seen: u128,
        gone: f64,
        found: &mut Vec<(Items, f64)>,
    ) {
        let Some(steps) = self.steps.checked_sub(1) else { return };
        self.steps = steps;
        if at == self.to {
            found.push((links, (self.worth - gone) * 100.0));
            return;
        }
        let pairs = self.pairs;
        for (link, (a, b)) in pairs.iter().enumerate() {
            let next = match at {
                at if at == *a => *b,
                at if at == *b => *a,
                _ => continue,
            };
            let gone = gone + apart(at, next);
            // What is left must be walked straight at least.
            let short = gone + apart(next, self.to) < self.worth;
            if short && seen >> (next % 128) & 1 == 0 && found.len() < self.most {
                let mut links = links;
                links.insert(link as u8);
                self.on(apart, next, links, seen | 1 << (next % 128), gone, found);
            }
        }
    }
}

/// Matching: a flight needs a slot to start and one to land, at two of four airports, in time.
pub(super) fn matching(draw: &mut Draw, size: Size) -> Vec<Offer> {
    const AIRPORTS: usize = 4;
    let slots = (size.items / AIRPORTS).max(2);
    let slot = |airport: usize, time: usize| ((airport * slots + time) % size.items) as u8;
    let mut offers: Vec<Offer> = Vec::new();
    let mut bidder = 0;
    while offers.len() < size.bids {
        let from = draw.below(AIRPORTS);
        let to = (from + 1 + draw.below(AIRPORTS - 1)) % AIRPORTS;
        let (length, best) = (1 + draw.below(slots / 3 + 1), draw.below(slots));
        let worth = draw.between(5.0, 10.0) * (1.0 + length as f64);
        let late = draw.between(0.7, 0.95);
        for start in best..slots.min(best + 4) {
            for land in start + length..slots.min(start + length + 3) {
                let items = Items::from_iter([slot(from, start), slot(to, land)]);
                let steps = (start - best) + (land - start - length);
                let value = worth * late.powf(steps as f64);
                if items.len() == 2 {
                    offers.push((items, value, Some(bidder)));
                }
            }
        }
        bidder += 1;
    }
    offers.truncate(size.bids);
    offers
}

/// Scheduling: a job needs so many slots of one machine in a row, and is worth less when late.
pub(super) fn scheduling(draw: &mut Draw, size: Size) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut bidder = 0;
    while offers.len() < size.bids {
        let length = 1 + draw.below(size.items.min(10));
        let worth = draw.between(1.0, 10.0) * length as f64;
        let deadline = length + draw.below(size.items - length + 1);
        for start in 0..=size.items - length {
            let end = start + length;
            let late = if end > deadline { 0.95_f64.powf((end - deadline) as f64) } else { 1.0 };
            // A job that could be done earlier for the same is no other bid.
            let items = (start..end).map(|time| time as u8).collect();
            let early = draw.between(0.97, 1.0);
            offers.push((items, worth * late * early, Some(bidder)));
        }
        bidder += 1;
    }
    offers.truncate(size.bids);
    offers
}
