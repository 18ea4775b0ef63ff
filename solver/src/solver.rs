//! The order of events: write out, construct, price, search, and again with what is left.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "keys and prices to begin with are in floating point"
)]

use crate::answer::{Config, Progress, Solution, Status, round_up};
use crate::branch::Searched;
use crate::chains::Chains;
use crate::cliques::Cliques;
use crate::clock::Clock;
use crate::columns::{Columns, Setting, write_sets};
use crate::construct::size_of;
use crate::cuts::Cuts;
use crate::greedy::Greedy;
use crate::local_search::LocalSearch;
use crate::prices::{FINE, Prices, Proven};
use crate::problem::{Bid, BidId, Problem};
use crate::region::{Kept, Searches};
use crate::subsets::{ITEMS_FEW, Subsets};
use crate::swaps::{self, Swaps};

/// Solves a problem.
pub fn solve(problem: &Problem, config: &Config<'_>) -> Solution {
    Solver::default().solve(problem, config, &mut |_| {})
}

/// A solver that keeps its memory from one problem to the next.
#[derive(Debug, Default)]
pub struct Solver {
    one: Workspace<1>,
    two: Workspace<2>,
    four: Workspace<4>,
}

impl Solver {
    /// Solves a problem, and tells the observer whenever it knows more.
    pub fn solve(
        &mut self,
        problem: &Problem,
        config: &Config<'_>,
        observer: &mut dyn FnMut(Progress),
    ) -> Solution {
        match problem.required().is_empty() {
            true => self.solve_freely(problem, config, observer),
            false => self.solve_whole(problem, config),
        }
    }

    pub(crate) fn solve_freely(
        &mut self,
        problem: &Problem,
        config: &Config<'_>,
        observer: &mut dyn FnMut(Progress),
    ) -> Solution {
        let clock = Clock::new(config.budget, config.abort);
        match (problem.items().len() + ROWS_ADDED).div_ceil(64) {
            1 => Run::new(&mut self.one, config, clock, observer).solve(problem, config),
            2 => Run::new(&mut self.two, config, clock, observer).solve(problem, config),
            _ => Run::new(&mut self.four, config, clock, observer).solve(problem, config),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Workspace<const W: usize> {
    pub(crate) columns: Columns<W>,
    /// All columns, while only the likely ones are looked at.
    aside: Columns<W>,
    pub(crate) setting: Setting,
    prices: Prices,
    pub(crate) proven: Proven,
    pub(crate) greedy: Greedy<W>,
    searches: Searches,
    chains: Chains<W>,
    swaps: (Swaps<2>, Swaps<4>, Swaps<8>),
    cliques: Cliques,
    cuts: Cuts,
    subsets: Subsets,
    /// Item prices before rows were added to them.
    root: Vec<i64>,
    pub(crate) keep: Vec<bool>,
    /// The columns of the incumbent, as they were numbered before any were left out.
    pub(crate) incumbent: Vec<u32>,
    winners: Vec<u32>,
}

pub(crate) struct Run<'a, 'b, const W: usize> {
    pub(crate) space: &'a mut Workspace<W>,
    local: LocalSearch<W>,
    pub(crate) clock: Clock<'b>,
    observer: &'a mut dyn FnMut(Progress),
    pub(crate) had: i64,
    pub(crate) bound: i64,
    /// Whether only the likely columns are looked at, so that nothing is proven.
    sifting: bool,
}

/// Passes over all columns that are enough to look at all of them from the start.
const PASSES_MANY: u64 = 60;
/// Columns up to which all are looked at from the start.
const SIFTED_MIN: usize = 768;
/// What is done with the likely columns alone: looks at prices, and shares of the budget.
const SIFT_LOOKS: u32 = 8;
const SIFT_PRICES_SHARE: f64 = 0.4;
const SIFT_CHAINS_SHARE: f64 = 0.75;
const SIFT_REGIONS_SHARE: f64 = 0.8;
/// Cliques are searched if fewer than one pair in so many goes together; before anything else, if
/// very few do.
const SPARSE: u64 = 3;
const SPARSE_FIRST: u64 = 24;
/// Items that two bundles share on average, beyond which that is so.
const CROWDED: usize = 3;
/// A bound that is off by more than one in so many parts leads to no proof soon.
const FAR_PART: i64 = 32;
/// Passes over all columns that are too few for such a proof.
const PASSES_FEW: u64 = 400;
/// The work of a budget without end, where shares of it are meant.
const WORK_MOST: u64 = 10_000_000;
/// Columns up to which proof is sought first.
const SMALL: usize = 256;
/// Ejection chains between two looks at what they brought.
const CHAINS_PER_LOOK: u32 = 16;
/// Swaps between two looks at what they brought.
const SWAPS_PER_LOOK: u32 = 32;
/// Looks in vain before something else is tried.
const CHAIN_FAILURES_MAX: usize = 200;
const CHAIN_FAILURES_MIN: usize = 20;
/// Regions searched in vain before something else is tried.
const FAILURES_MAX: u32 = 64;
/// Steps of the price search between two looks at what they brought.
const STEPS_PER_LOOK: u32 = 10;
/// Rows that there is room for beside the items, in all but the largest problems.
const ROWS_ADDED: usize = 24;
/// No more rows are added if they closed less than one in so many parts of the gap.
const CUT_GAIN_LEAST: i64 = 8;
/// What looking for rows of three takes at most.
const TRIPLES_WORK: u64 = 1_000_000;
/// Looks at prices for each round of rows that are added.
const CUT_LOOKS: u32 = 3;
/// The length of the steps when prices are sought again, nearer to the best.
const RESTART_LENGTH: f64 = 0.15;

impl<'a, 'b, const W: usize> Run<'a, 'b, W> {
    fn new(
        space: &'a mut Workspace<W>,
        config: &Config<'_>,
        clock: Clock<'b>,
        observer: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let local = LocalSearch::new(config.seed);
        Self { space, local, clock, observer, had: 0, bound: i64::MAX, sifting: false }
    }

    fn solve(mut self, problem: &Problem, config: &Config<'_>) -> Solution {
        let left_out = |bid: &Bid| config.without == Some(bid.bidder);
        write_sets(problem, &mut self.space.columns, &mut self.space.setting, &left_out);
        self.clock.spend(self.space.columns.len() as u64 * 10);
        self.space.incumbent.clear();
        self.space.root.clear();
        self.space.proven.price.clear();
        self.bound = self.space.columns.value.iter().sum();
        if self.look_at_subsets() {
            return self.answer(problem, config, true);
        }
        self.construct_first();
        if self.fix_evenly() {
            return self.answer(problem, config, true);
        }
        let rows: usize = self.space.columns.mask.iter().map(|mask| size_of(mask) as usize).sum();
        self.construct_pair(rows);
        self.construct_from(config.start);
        // Where bundles are large even the first prices may be too much.
        if !self.clock.affords(6 * (rows + 6 * self.space.columns.len()) as u64) {
            return self.answer(problem, config, false);
        }
        self.space.columns.list_rows();
        self.clock.spend(2 * rows as u64);
        self.begin_prices();
        self.sift();
        let optimal = match self.space.columns.len() {
            small if small <= SMALL => {
                self.search_crowded()
                    || self.price(2, 0.2)
                    || self.search_all(self.clock.planned().min(WORK_MOST) / 24)
                    || self.search_chains(0.3)
                    || self.price(1, 0.3)
                    || self.search_all(self.clock.planned().min(WORK_MOST) / 5 * 3)
                    || self.price(2, 0.4)
                    || self.cut(4, 0.5)
            }
            _ => {
                self.search_crowded()
                    || self.price(4, 0.25)
                    || self.search_chains(0.45)
                    || self.price(2, 0.65)
                    || (self.is_far() && self.search_chains(0.85))
                    || self.cut(4, 0.65)
            }
        } || self.search();
        if optimal {
            self.bound = self.had;
        }
        self.answer(problem, config, optimal)
    }

    /// Searches everything at once where bundles are so large that hardly any go together; returns
    /// whether the incumbent is the best.
    fn search_crowded(&mut self) -> bool {
        let (columns, setting) = (&self.space.columns, &self.space.setting);
        let size = columns.rows.len() / columns.len().max(1);
        size * size >= CROWDED * setting.items
            && self.search_cliques(self.clock.planned().min(WORK_MOST) / 2, SPARSE_FIRST)
    }

    /// Returns whether the bound is so far off, and the budget so small, that no proof is near.
    fn is_far(&self) -> bool {
        let pass = (self.space.columns.rows.len() + 6 * self.space.columns.len()).max(1) as u64;
        self.clock.planned() / pass < PASSES_FEW && self.bound - self.had > self.bound / FAR_PART
    }

    /// Looks at all sets of items, if they are few; returns whether the incumbent is the best.
    fn look_at_subsets(&mut self) -> bool {
        let space = &mut *self.space;
        let (columns, setting) = (&mut space.columns, &space.setting);
        if setting.items > ITEMS_FEW || columns.len() < 1 << setting.items.saturating_sub(3) {
            return false;
        }
        let mut work = 0;
        self.bound = self.bound.min(space.subsets.solve(columns, setting, &mut work));
        space.subsets.winners(&mut space.winners);
        let mut kept = Kept::default();
        kept.reset(columns, setting);
        space.winners.retain(|column| {
            let gain = kept.gain(columns, setting, *column as usize).filter(|gain| *gain > 0);
            if let Some(gain) = gain {
                kept.keep(columns, *column as usize, gain);
            }
            gain.is_some()
        });
        self.had = kept.surplus;
        space.incumbent.extend(space.winners.iter().map(|column| columns.full[*column as usize]));
        if self.had < self.bound {
            let subsets = &space.subsets;
            space.keep.clear();
            let bounds = (0..columns.len()).map(|column| subsets.bound_with(columns, column));
            space.keep.extend(bounds.map(|bound| bound > self.had));
            work += columns.len() as u64 * 2;
            columns.retain(&space.keep);
        }
        self.clock.spend(work);
        self.report();
        self.had == self.bound || self.space.columns.len() == 0
    }

    pub(crate) fn report(&mut self) {
        let (surplus, bound) = (self.had, self.bound.max(self.had));
        (self.observer)(Progress { elapsed: self.clock.elapsed(), surplus, bound });
    }

    fn begin_prices(&mut self) {
        self.find_winners();
        let space = &mut *self.space;
        let mut price = vec![0.0; space.setting.items];
        for column in &space.winners {
            let rows = space.columns.rows_of(*column as usize);
            let share = space.columns.value[*column as usize] as f64 / rows.len() as f64;
            for row in rows {
                price[usize::from(*row)] = share;
            }
        }
        space.prices.begin(&space.setting, price.into_iter());
        space.prices.take(&space.columns);
    }

    /// Seeks prices, with so many looks and up to a share of the budget; returns whether they prove
    /// the incumbent.
    fn price(&mut self, looks: u32, share: f64) -> bool {
        for look in 0..looks {
            let space = &mut *self.space;
            let pass = space.columns.rows.len() + 6 * space.columns.len();
            let pass = pass as u64 + 2 * space.setting.rows as u64;
            space.prices.fade();
            for _ in 0..STEPS_PER_LOOK {
                // What is found is worth nothing before it is rounded.
                if !self.clock.affords(5 * pass) {
                    break;
                }
                space.prices.step(&space.setting, self.had as f64);
                self.clock.spend(pass);
            }
            if !self.clock.affords(2 * pass) {
                return false;
            }
            if self.fix() {
                return true;
            }
            if look % 4 == 1 {
                self.construct_by_prices();
                if self.fix_by_had() {
                    return true;
                }
            }
            let settled = self.space.prices.is_settled();
            if settled || self.clock.is_over() || self.clock.share() > share {
                return false;
            }
        }
        false
    }

    /// Adds rows and seeks their prices, in so many rounds and up to a share of the budget; returns
    /// whether that proves the incumbent.
    fn cut(&mut self, rounds: u32, share: f64) -> bool {
        for _ in 0..rounds {
            if self.clock.is_over() || self.clock.share() > share {
                return false;
            }
            if !self.space.setting.exact && !self.clock.affords(TRIPLES_WORK) {
                return false;
            }
            let space = &mut *self.space;
            if space.root.is_empty() {
                space.root.clone_from(&space.proven.price);
            }
            let mut work = 0;
            let shares = space.prices.shares();
            let added = space.cuts.add(&mut space.columns, &mut space.setting, shares, &mut work);
            self.clock.spend(work);
            if added == 0 {
                return false;
            }
            space.prices.add_rows(&space.columns, &space.setting);
            let before = self.bound;
            if self.price(CUT_LOOKS, share) {
                return true;
            }
            if (before - self.bound) * CUT_GAIN_LEAST < self.bound - self.had {
                return false;
            }
        }
        false
    }

    /// Looks at likely columns alone for a while, where a pass over all takes much of the budget
    /// (sifting, Forrest 1989). Prices and winners are then good ones for all columns, too.
    fn sift(&mut self) {
        let pass = (self.space.columns.rows.len() + 6 * self.space.columns.len()) as u64;
        if self.space.columns.len() <= SIFTED_MIN || self.clock.planned() / pass > PASSES_MANY {
            return;
        }
        let space = &mut *self.space;
        space.aside.clone_from(&space.columns);
        self.keep_likely();
        self.sifting = true;
        let _ = self.price(SIFT_LOOKS, SIFT_PRICES_SHARE)
            || self.search_chains(SIFT_CHAINS_SHARE)
            || self.search_regions(SIFT_REGIONS_SHARE);
        self.sifting = false;
        let space = &mut *self.space;
        std::mem::swap(&mut space.columns, &mut space.aside);
        space.prices.take(&space.columns);
        space.prices.restart(RESTART_LENGTH);
    }

    /// Leaves out the columns that bring little for their size, winners apart.
    fn keep_likely(&mut self) {
        let space = &mut *self.space;
        let columns = &mut space.columns;
        let (setting, had) = (&space.setting, &space.incumbent);
        let mut keys: Vec<f64> =
            (0..columns.len()).map(|c| likeliness(columns, setting, c)).collect();
        let all = keys.clone();
        let count = (columns.len() / 4).max(SMALL);
        let (_, least, _) = keys.select_nth_unstable_by(count, |a, b| b.total_cmp(a));
        let least = *least;
        space.keep.clear();
        space.keep.extend(all.iter().map(|key| *key >= least));
        for column in had {
            space.keep[*column as usize] = true;
        }
        columns.retain(&space.keep);
        space.prices.take(columns);
        self.clock.spend(all.len() as u64 * 12);
    }

    /// Rounds the prices, and leaves out what cannot be in a better solution.
    fn fix(&mut self) -> bool {
        let space = &mut *self.space;
        space.proven.round(&space.prices, &space.setting, &space.columns);
        self.clock.spend(space.columns.rows.len() as u64);
        self.fix_by_had()
    }

    fn fix_by_had(&mut self) -> bool {
        if self.sifting || !self.is_priced() {
            return false;
        }
        let space = &mut *self.space;
        let bound = (space.proven.bound >> FINE).max(self.had);
        if bound < self.bound {
            self.bound = bound;
            self.report();
        }
        if self.bound <= self.had {
            return true;
        }
        let space = &mut *self.space;
        let left = space.proven.promising(self.had, &mut space.keep);
        self.clock.spend(space.columns.len() as u64);
        if left == 0 {
            return true;
        }
        let pass = (space.columns.rows.len() + 6 * space.columns.len()) as u64;
        if left < space.columns.len() * 15 / 16 && self.clock.affords(2 * pass) {
            space.columns.retain(&space.keep);
            space.prices.retain(&space.columns, &space.keep);
            space.proven.evaluate(&space.columns);
            self.clock.spend(space.columns.rows.len() as u64 * 2);
        }
        false
    }

    /// Searches for proof and for better solutions in turns; returns whether the incumbent is best.
    fn search(&mut self) -> bool {
        let mut work = (self.clock.planned() / 3).clamp(10_000, 1_000_000);
        let mut before = None;
        // What is left of the budget may be too little for anything.
        while !self.clock.is_over() && before != Some(self.clock.work()) {
            before = Some(self.clock.work());
            if self.search_cliques(2 * work, SPARSE) || self.search_all(work) {
                return true;
            }
            let share = self.clock.share();
            if !self.clock.affords(4 * self.space.columns.rows.len() as u64) {
                return false;
            }
            if self.search_chains(share + (1.0 - share) / 3.0)
                || self.search_regions(share + (1.0 - share) / 2.0)
            {
                return true;
            }
            self.space.prices.restart(RESTART_LENGTH);
            let share = self.clock.share();
            if self.price(4, share + (1.0 - share) / 8.0) {
                return true;
            }
            work *= 2;
        }
        false
    }

    /// Searches by ejection chains, up to a share of the budget and while that helps; returns
    /// whether the incumbent is proven.
    fn search_chains(&mut self, share: f64) -> bool {
        let columns = &self.space.columns;
        let begin = columns.rows.len() as u64 * 4 + columns.len() as u64 * 8;
        if !self.is_priced() || !self.clock.affords(begin) {
            return false;
        }
        self.find_winners();
        if !self.sifting && swaps::is_for(&self.space.columns, &self.space.setting) {
            self.search_swaps(share);
            return self.fix_by_had();
        }
        let space = &mut *self.space;
        let (columns, proven) = (&space.columns, &space.proven);
        let cost = |column: usize| proven.reduced_cost(column);
        space.chains.begin(columns, &space.setting, cost, &space.winners);
        self.clock.spend(begin);
        let mut had = self.had;
        let mut failures = 0;
        let most = CHAIN_FAILURES_MAX.min(CHAIN_FAILURES_MIN + self.space.columns.len() / 16);
        while !self.clock.is_over() && failures < most && self.clock.share() < share {
            let space = &mut *self.space;
            let found = space.chains.search(
                &space.columns,
                &space.setting,
                &mut self.local.random,
                CHAINS_PER_LOOK,
                had,
                &mut space.winners,
                &mut self.clock,
            );
            failures += 1;
            if found {
                failures = 0;
                self.take_winners();
                had = self.had;
            }
        }
        self.fix_by_had()
    }

    /// Searches by swaps, up to a share of the budget and while that helps.
    fn search_swaps(&mut self, share: f64) {
        match self.space.columns.len() {
            0..=128 => self.swap(|space| &mut space.swaps.0, share),
            129..=256 => self.swap(|space| &mut space.swaps.1, share),
            _ => self.swap(|space| &mut space.swaps.2, share),
        }
    }

    fn swap<const C: usize>(
        &mut self,
        swaps: impl Fn(&mut Workspace<W>) -> &mut Swaps<C>,
        share: f64,
    ) {
        let mut search = std::mem::take(swaps(self.space));
        let space = &mut *self.space;
        let (columns, proven) = (&space.columns, &space.proven);
        let cost = |column: usize| proven.reduced_cost(column);
        let work = search.begin(columns, &space.setting, cost, &space.winners);
        self.clock.spend(work);
        let mut failures = 0;
        let most = CHAIN_FAILURES_MAX.min(CHAIN_FAILURES_MIN + self.space.columns.len() / 16);
        while !self.clock.is_over() && failures < most && self.clock.share() < share {
            let random = &mut self.local.random;
            let winners = &mut self.space.winners;
            failures += 1;
            if search.search(random, SWAPS_PER_LOOK, self.had, winners, &mut self.clock) {
                failures = 0;
                self.take_winners();
            }
        }
        *swaps(self.space) = search;
    }

    /// Searches everything that is left where few columns go together; returns whether the
    /// incumbent is best.
    fn search_cliques(&mut self, work: u64, sparse: u64) -> bool {
        let space = &mut *self.space;
        let (rows, columns) = (space.columns.rows.len(), space.columns.len());
        if !self.clock.affords(((rows + 3 * columns) * columns.div_ceil(64)) as u64 / 4) {
            return false;
        }
        if !space.cliques.load(&space.columns, &space.setting, sparse, &mut self.clock) {
            return false;
        }
        let all = space.cliques.search(self.had, work, &mut self.clock);
        if space.cliques.found {
            space.winners.clone_from(&space.cliques.best);
            self.take_winners();
        }
        all || self.fix_by_had()
    }

    /// Searches everything that is left; returns whether the incumbent is best.
    fn search_all(&mut self, work: u64) -> bool {
        let (rows, columns) = (self.space.columns.rows.len(), self.space.columns.len());
        let words = columns.div_ceil(64).next_power_of_two();
        let begin = rows * (8 + 2 * words) + columns * (20 + 2 * words);
        if !self.is_priced() || !self.clock.affords(begin as u64) {
            return false;
        }
        let space = &mut *self.space;
        let mut kept = Kept::default();
        kept.reset(&space.columns, &space.setting);
        let loaded =
            space.searches.load(&space.columns, &space.setting, &space.proven, &kept, self.had);
        if loaded.is_none() {
            return true;
        }
        let (found, searched) = space.searches.search(work, &mut self.clock);
        if found {
            space.winners.clear();
            space.winners.extend_from_slice(&space.searches.best);
            self.take_winners();
        }
        searched == Searched::All || (found && self.fix_by_had())
    }

    /// Returns whether the prices that are proven are for the columns that are looked at.
    fn is_priced(&self) -> bool {
        self.space.proven.left.len() == self.space.columns.len()
            && self.space.proven.price.len() == self.space.setting.rows
    }

    fn take_winners(&mut self) {
        let space = &mut *self.space;
        let mut kept = Kept::default();
        kept.reset(&space.columns, &space.setting);
        for column in &space.winners {
            let gain = kept.gain(&space.columns, &space.setting, *column as usize);
            kept.keep(&space.columns, *column as usize, gain.expect("winners go together"));
        }
        assert!(kept.surplus > self.had, "invariant: what a search finds is better");
        self.had = kept.surplus;
        space.incumbent.clear();
        let winners = space.winners.iter();
        space.incumbent.extend(winners.map(|column| space.columns.full[*column as usize]));
        self.report();
    }

    /// Searches regions, up to a share of the budget and while that helps; returns whether the
    /// incumbent is proven.
    fn search_regions(&mut self, share: f64) -> bool {
        if !self.is_priced() {
            return false;
        }
        self.find_winners();
        let mut failures = 0;
        while !self.clock.is_over() {
            failures += 1;
            if failures > FAILURES_MAX || self.clock.share() > share {
                break;
            }
            let space = &mut *self.space;
            let better = self.local.improve(
                &space.columns,
                &space.setting,
                &space.proven,
                &mut space.searches,
                &mut space.winners,
                self.had,
                &mut self.clock,
            );
            if better {
                failures = 0;
                self.take_winners();
                if self.fix_by_had() {
                    return true;
                }
                self.find_winners();
            }
        }
        false
    }

    /// Finds the incumbent's columns among those that are left.
    fn find_winners(&mut self) {
        let space = &mut *self.space;
        space.winners.clear();
        for full in &space.incumbent {
            if let Ok(column) = space.columns.full.binary_search(full) {
                space.winners.push(column as u32);
            }
        }
    }

    fn answer(self, problem: &Problem, config: &Config<'_>, optimal: bool) -> Solution {
        let space = self.space;
        let mut winners: Vec<_> = space
            .incumbent
            .iter()
            .flat_map(|column| space.setting.bids_of(*column))
            .map(|bid| BidId(*bid))
            .collect();
        winners.sort_unstable();
        let _ = (problem, config);
        let bound = self.bound.max(self.had);
        let status = if optimal || bound == self.had { Status::Optimal } else { Status::Feasible };
        let prices = if space.root.is_empty() { &space.proven.price } else { &space.root };
        let prices = prices.iter().map(|price| round_up(*price)).collect();
        Solution { winners, surplus: self.had, bound, status, prices }
    }
}

/// Returns how much a column brings for its size.
fn likeliness<const W: usize>(columns: &Columns<W>, setting: &Setting, column: usize) -> f64 {
    let rows = columns.rows_of(column);
    let size = match setting.reserve.first() {
        Some(0) | None => rows.len() as f64,
        Some(_) => rows.iter().map(|row| setting.reserve[usize::from(*row)]).sum::<i64>() as f64,
    };
    columns.value[column] as f64 / size.max(1.0)
}
