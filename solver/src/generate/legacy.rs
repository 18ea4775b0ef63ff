//! The distributions that came before CATS (Sandholm 1999; Fujishima, Leyton-Brown and Shoham 1999;
//! Boutilier, Goldszmidt and Sabata 1999), under the numbers that CATS gives them.

use super::{Draw, Offer, Size};
use crate::items::Items;

/// L2, weighted random: any size, a price up to the size.
pub(super) fn weighted(draw: &mut Draw, size: Size) -> Vec<Offer> {
    distinct(draw, size, |draw| {
        let count = 1 + draw.below(size.items);
        (any(draw, size.items, count), draw.between(0.0, count as f64))
    })
}

/// L3, uniform: three items, a price up to one.
pub(super) fn uniform(draw: &mut Draw, size: Size) -> Vec<Offer> {
    distinct(draw, size, |draw| (any(draw, size.items, 3), draw.share()))
}

/// L4, decay: one item more with probability 0.55, a price up to the size.
pub(super) fn decay(draw: &mut Draw, size: Size) -> Vec<Offer> {
    distinct(draw, size, |draw| {
        let mut count = 1;
        while count < size.items && draw.happens(0.55) {
            count += 1;
        }
        (any(draw, size.items, count), draw.between(0.0, count as f64))
    })
}

/// L6, exponential: sizes fall off by a factor `e` every five items.
pub(super) fn exponential(draw: &mut Draw, size: Size) -> Vec<Offer> {
    distinct(draw, size, |draw| {
        let drawn = 1.0 - 5.0 * (1.0 - draw.share()).ln();
        let count = (drawn as usize).clamp(1, size.items);
        (any(draw, size.items, count), count as f64 * draw.between(0.5, 1.5))
    })
}

/// L7, binomial: each item with probability 0.2.
pub(super) fn binomial(draw: &mut Draw, size: Size) -> Vec<Offer> {
    distinct(draw, size, |draw| {
        let mut count = (0..size.items).filter(|_| draw.happens(0.2)).count();
        count = count.max(1);
        (any(draw, size.items, count), count as f64 * draw.between(0.5, 1.5))
    })
}

/// Returns offers, each on another set.
fn distinct(
    draw: &mut Draw,
    size: Size,
    mut offer: impl FnMut(&mut Draw) -> (Items, f64),
) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    // Small sets may run out.
    for _ in 0..size.bids * 100 {
        let (items, value) = offer(draw);
        if offers.len() < size.bids && seen.insert(items) {
            offers.push((items, value, None));
        }
    }
    offers
}

fn any(draw: &mut Draw, items: usize, count: usize) -> Items {
    let mut set = Items::EMPTY;
    let mut left = count.min(items);
    while left > 0 {
        let item = draw.below(items);
        left -= usize::from(set.insert(item as u8));
    }
    set
}
