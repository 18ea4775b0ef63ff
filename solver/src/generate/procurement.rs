//! Procurement of parallel work: providers ask less for bundles that suit them.
//!
//! A provider has a rate for each of four types of job and bundles of jobs that it likes. A bundle
//! costs a fixed part and its jobs' effort at those rates, less a volume discount of up to 30 %
//! that saturates with its size and up to 12 % for jobs of one type. Most providers want one bundle
//! at most; the others any, within a capacity.

use super::{Draw, UNIT};
use crate::items::Items;
use crate::problem::{Bid, Cover, Group, Item, Problem};

const TYPES: usize = 4;

struct Job {
    kind: usize,
    effort: f64,
}

/// Returns a problem with so many jobs and providers.
pub(super) fn problem(draw: &mut Draw, jobs: usize, providers: u32, cover: Cover) -> Problem {
    let work: Vec<_> = (0..jobs)
        .map(|_| Job { kind: draw.below(TYPES), effort: (4.6 + 0.5 * draw.normal()).exp() })
        .collect();
    let items = work
        .iter()
        .map(|job| Item {
            load: 1 + draw.below(4) as u32,
            reserve: (job.effort * draw.between(1.6, 2.6) * UNIT).round() as u64,
        })
        .collect();
    let mut problem = Problem::procurement(cover, items).expect("within the limits");
    for provider in 0..providers {
        add_provider(draw, &mut problem, &work, provider);
    }
    problem
}

fn add_provider(draw: &mut Draw, problem: &mut Problem, work: &[Job], provider: u32) {
    let rates: Vec<_> = (0..TYPES).map(|_| draw.between(0.8, 1.8)).collect();
    let penalty = draw.between(0.0, 0.2);
    let bundles: Vec<_> = (0..1 + draw.below(10)).map(|_| bundle(draw, work)).collect();
    let load = bundles.iter().map(|items| problem.load_of(items)).max().unwrap_or(1);
    let group = match draw.happens(0.7) {
        true => Group::Xor,
        false => Group::Or { capacity: load + draw.below(8) as u32 },
    };
    let group = Some(problem.add_group(group).expect("within the limits"));
    for items in bundles {
        let price = price(draw, work, &rates, &items);
        let score = price * (1.0 + penalty);
        let (price, score) = ((price * UNIT).round() as u64, (score * UNIT).round() as u64);
        let bid = Bid { items, score, price, group, bidder: provider };
        problem.add_bid(bid).expect("within the limits");
    }
}

fn bundle(draw: &mut Draw, work: &[Job]) -> Items {
    let liked = draw.below(TYPES);
    let most = (work.len() / 3).clamp(2, 20);
    let count = 1 + draw.below(most);
    let weights: Vec<_> =
        work.iter().map(|job| if job.kind == liked { 3.0 } else { 1.0 }).collect();
    (0..count).filter_map(|_| draw.weighted(&weights)).map(|job| job as u8).collect()
}

fn price(draw: &mut Draw, work: &[Job], rates: &[f64], items: &Items) -> f64 {
    let jobs: Vec<_> = items.iter().map(|item| &work[usize::from(item)]).collect();
    let effort: f64 = jobs.iter().map(|job| job.effort * rates[job.kind]).sum();
    let count = jobs.len() as f64;
    let volume = 0.3 * (1.0 - (-(count - 1.0) / 4.0).exp());
    let same = (0..TYPES).map(|kind| jobs.iter().filter(|job| job.kind == kind).count()).max();
    let synergy = 0.12 * (same.unwrap_or(1) as f64 - 1.0) / count;
    let noise = 1.0 + 0.08 * draw.normal();
    (20.0 + effort) * (1.0 - volume) * (1.0 - synergy) * noise.clamp(0.7, 1.3)
}
