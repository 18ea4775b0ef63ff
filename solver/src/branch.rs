//! Branch and bound on a core of columns that prices have left.
//!
//! The bound is the sum of the prices; every decision uses some of the room between it and what is
//! already had: a column its reduced cost, a row that stays empty its price. At each node rows that
//! no column is left for are given up; then prices are lowered one row at a time as far as every
//! column of the row allows (dual ascent, Erlenkotter 1978; on the conflict graph this is the
//! residual-weight clique cover of Balas and Xue 1991), and columns beyond the room drop out. The
//! search branches on the row with the fewest ways to fill it (Fujishima, Leyton-Brown and Shoham's
//! CASS 1999; Sandholm's BOB 2003; Knuth's rule for exact covers 2000), the cheapest column first,
//! so that its first dive is a greedy solution.

use crate::clock::Clock;
use crate::columns::UNCOUNTED;
use crate::items::{bits, each_bit, meets};
use crate::prices::FINE;

/// Ways that leaving a row empty counts for when the next row is chosen.
const EMPTY_WAYS: u32 = 3;

/// What prices have left of a problem or of a region of it.
#[derive(Debug, Default)]
pub(crate) struct Core {
    /// Per row: its price.
    pub price: Vec<i64>,
    /// Per row: what a second award takes off, or `i64::MAX` where there may be none.
    pub twice: Vec<i64>,
    /// Per column: its rows begin here; one more than columns.
    pub start: Vec<u32>,
    pub rows: Vec<u16>,
    pub cost: Vec<i64>,
    pub name: Vec<u32>,
    pub counted: Vec<u32>,
    pub load: Vec<u32>,
    pub capacity: Vec<u32>,
    /// What may be used in all.
    pub room: i64,
}

impl Core {
    pub(crate) fn clear(&mut self) {
        self.price.clear();
        self.twice.clear();
        self.start.clear();
        self.start.push(0);
        self.rows.clear();
        self.cost.clear();
        self.name.clear();
        self.counted.clear();
        self.load.clear();
        self.capacity.clear();
        self.room = 0;
    }
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    /// What was found, if anything, is the best there is.
    All,
    /// It ended early.
    Part,
}

#[derive(Debug, Default)]
struct Level {
    alive: Vec<u16>,
    cost: Vec<i64>,
    ways: Vec<(i64, u16)>,
}

/// The search, for cores of up to `64 * R` rows.
#[derive(Debug)]
pub(crate) struct Branch<const R: usize> {
    mask: Vec<[u64; R]>,
    hard: [u64; R],
    price: Vec<i64>,
    /// Prices before they were lowered, to be put back.
    lowered: Vec<(u16, i64)>,
    levels: Vec<Level>,
    path: Vec<u16>,
    /// Per row: how many columns are left, and the least of their costs.
    tally: Vec<(u32, i64)>,
    first: Vec<u32>,
    of_row: Vec<u16>,
    capacity: Vec<u32>,
    room: i64,
    stop_at: u64,
    /// The best found.
    pub best: Vec<u16>,
    pub found: bool,
    pub nodes: u64,
}

impl<const R: usize> Default for Branch<R> {
    fn default() -> Self {
        Self {
            mask: Vec::new(),
            hard: [0; R],
            price: Vec::new(),
            lowered: Vec::new(),
            levels: Vec::new(),
            path: Vec::new(),
            tally: Vec::new(),
            first: Vec::new(),
            of_row: Vec::new(),
            capacity: Vec::new(),
            room: 0,
            stop_at: 0,
            best: Vec::new(),
            found: false,
            nodes: 0,
        }
    }
}

impl<const R: usize> Branch<R> {
    /// Searches a core, with at most so much work.
    pub(crate) fn search(&mut self, core: &Core, work: u64, clock: &mut Clock<'_>) -> Searched {
        self.load(core);
        self.stop_at = clock.work().saturating_add(work);
        let mut free = [0; R];
        for row in 0..core.price.len() {
            free[row / 64] |= 1 << (row % 64);
        }
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let level = &mut self.levels[0];
        level.alive.clear();
        level.alive.extend((0..core.cost.len()).map(narrow));
        level.cost.clone_from(&core.cost);
        if self.descend(core, 0, 0, free, clock) { Searched::All } else { Searched::Part }
    }

    fn load(&mut self, core: &Core) {
        let rows = core.price.len();
        assert!(rows <= 64 * R, "invariant: the core fits the search");
        self.mask.clear();
        for column in 0..core.cost.len() {
            let mut mask = [0; R];
            for row in &core.rows[core.start[column] as usize..core.start[column + 1] as usize] {
                mask[usize::from(*row) / 64] |= 1 << (row % 64);
            }
            self.mask.push(mask);
        }
        self.hard = [0; R];
        for (row, twice) in core.twice.iter().enumerate() {
            if *twice == i64::MAX {
                self.hard[row / 64] |= 1 << (row % 64);
            }
        }
        self.price.clone_from(&core.price);
        self.capacity.clone_from(&core.capacity);
        self.lowered.clear();
        self.path.clear();
        self.tally.resize(rows, (0, 0));
        self.first.resize(rows, 0);
        self.room = core.room;
        self.found = false;
        self.nodes = 0;
    }

    /// Searches below a node; returns whether all of it was searched.
    fn descend(
        &mut self,
        core: &Core,
        depth: usize,
        used: i64,
        free: [u64; R],
        clock: &mut Clock<'_>,
    ) -> bool {
        self.nodes += 1;
        let mut level = std::mem::take(&mut self.levels[depth]);
        let mark = self.lowered.len();
        let complete = self.expand(core, depth, used, free, &mut level, clock);
        for (row, price) in self.lowered.drain(mark..).rev() {
            self.price[usize::from(row)] = price;
        }
        self.levels[depth] = level;
        complete
    }

    fn expand(
        &mut self,
        core: &Core,
        depth: usize,
        mut used: i64,
        mut free: [u64; R],
        level: &mut Level,
        clock: &mut Clock<'_>,
    ) -> bool {
        loop {
            let work = self.tally(&free, level);
            if !clock.spend(work + 60) || clock.work() >= self.stop_at {
                return false;
            }
            used += self.give_up_empty(&mut free);
            if used > self.room {
                return true;
            }
            if level.alive.is_empty() {
                self.take_path(used);
                return true;
            }
            used += self.lower_prices(&free, level);
            if used > self.room {
                return true;
            }
            if !drop_beyond(level, self.room - used) {
                break;
            }
        }
        self.branch(core, depth, used, free, level, clock)
    }

    fn take_path(&mut self, used: i64) {
        self.best.clone_from(&self.path);
        self.found = true;
        self.room = used - (1 << FINE);
    }

    /// Counts, for each row, the columns that are left and the least of their costs.
    #[inline]
    fn tally(&mut self, free: &[u64; R], level: &Level) -> u64 {
        self.tally.fill((0, i64::MAX));
        let mut work = 0;
        let tally = &mut self.tally[..];
        for (column, cost) in level.alive.iter().zip(&level.cost) {
            let mask = &self.mask[usize::from(*column)];
            each_bit(&both(mask, free), |row| {
                let (count, least) = &mut tally[row];
                *count += 1;
                *least = (*least).min(*cost);
                work += 1;
            });
        }
        3 * work + 4 * level.alive.len() as u64 + self.tally.len() as u64
    }

    /// Gives up the rows that no column is left for.
    fn give_up_empty(&self, free: &mut [u64; R]) -> i64 {
        let mut used = 0;
        for row in bits(*free) {
            if self.tally[row].0 == 0 {
                free[row / 64] &= !(1 << (row % 64));
                used += self.price[row];
            }
        }
        used
    }

    /// Lowers the prices of rows whose columns all cost something; returns how far the bound falls.
    fn lower_prices(&mut self, free: &[u64; R], level: &mut Level) -> i64 {
        let mut lowerable = [0; R];
        let mut entries = 0;
        for row in bits(*free) {
            if self.tally[row].1 > 0 && self.price[row] > 0 {
                lowerable[row / 64] |= 1 << (row % 64);
                self.first[row] = entries;
                entries += self.tally[row].0;
            }
        }
        if entries == 0 {
            return 0;
        }
        self.of_row.resize(entries as usize, 0);
        for (index, column) in level.alive.iter().enumerate() {
            let mask = &self.mask[usize::from(*column)];
            let (first, of_row) = (&mut self.first, &mut self.of_row);
            each_bit(&both(mask, &lowerable), |row| {
                of_row[first[row] as usize] = narrow(index);
                first[row] += 1;
            });
        }
        let mut fallen = 0;
        for row in bits(lowerable) {
            let end = self.first[row] as usize;
            let columns = &self.of_row[end - self.tally[row].0 as usize..end];
            let mut least = self.price[row];
            for column in columns {
                least = least.min(level.cost[usize::from(*column)]);
                if least <= 0 {
                    break;
                }
            }
            if least <= 0 {
                continue;
            }
            for column in columns {
                level.cost[usize::from(*column)] -= least;
            }
            self.lowered.push((narrow(row), self.price[row]));
            self.price[row] -= least;
            fallen += least;
        }
        fallen
    }

    fn branch(
        &mut self,
        core: &Core,
        depth: usize,
        used: i64,
        free: [u64; R],
        level: &mut Level,
        clock: &mut Clock<'_>,
    ) -> bool {
        let row = self.row_to_fill(&free, self.room - used);
        let mut ways = std::mem::take(&mut level.ways);
        ways.clear();
        for (index, column) in level.alive.iter().enumerate() {
            if self.mask[usize::from(*column)][row / 64] >> (row % 64) & 1 == 1 {
                ways.push((level.cost[index], narrow(index)));
            }
        }
        ways.sort_unstable();
        if self.levels.len() == depth + 1 {
            self.levels.push(Level::default());
        }
        let mut complete = true;
        for (cost, index) in &ways {
            let column = level.alive[usize::from(*index)];
            if used + cost <= self.room {
                complete &= self.fill(core, depth, used + cost, free, level, column, clock);
            }
            // Whatever comes after does without it.
            level.cost[usize::from(*index)] = i64::MAX;
        }
        level.ways = ways;
        if used + self.price[row] <= self.room && !clock.is_over() {
            let mut left = free;
            left[row / 64] &= !(1 << (row % 64));
            let room = self.room - used - self.price[row];
            let next = &mut self.levels[depth + 1];
            next.alive.clear();
            next.cost.clear();
            for (column, cost) in level.alive.iter().zip(&level.cost) {
                if *cost <= room {
                    next.alive.push(*column);
                    next.cost.push(*cost);
                }
            }
            complete &= self.descend(core, depth + 1, used + self.price[row], left, clock);
        }
        complete
    }

    /// Returns the row with the fewest ways to fill it, or not to.
    fn row_to_fill(&self, free: &[u64; R], room: i64) -> usize {
        let mut best = (u32::MAX, i64::MIN, 0);
        for row in bits(*free) {
            let price = self.price[row];
            // A row that may stay empty ends no branch soon.
            let ways = self.tally[row].0 + if price <= room { EMPTY_WAYS } else { 0 };
            if ways < best.0 || (ways == best.0 && price > best.1) {
                best = (ways, price, row);
            }
        }
        best.2
    }

    #[expect(clippy::too_many_arguments, reason = "the node, and the column that goes in")]
    fn fill(
        &mut self,
        core: &Core,
        depth: usize,
        used: i64,
        free: [u64; R],
        level: &Level,
        column: u16,
        clock: &mut Clock<'_>,
    ) -> bool {
        let mask = self.mask[usize::from(column)];
        let counted = core.counted[usize::from(column)];
        if counted != UNCOUNTED {
            self.capacity[counted as usize] -= core.load[usize::from(column)];
        }
        let left: [u64; R] = std::array::from_fn(|word| free[word] & !mask[word]);
        let mut next = std::mem::take(&mut self.levels[depth + 1]);
        self.leave(core, &mask, &free, level, self.room - used, &mut next);
        clock.spend(2 * level.alive.len() as u64);
        self.levels[depth + 1] = next;
        self.path.push(column);
        let complete = self.descend(core, depth + 1, used, left, clock);
        self.path.pop();
        if counted != UNCOUNTED {
            self.capacity[counted as usize] += core.load[usize::from(column)];
        }
        complete
    }

    /// Copies what is left of a level once a column is in.
    fn leave(
        &self,
        core: &Core,
        mask: &[u64; R],
        free: &[u64; R],
        level: &Level,
        room: i64,
        next: &mut Level,
    ) {
        let hard = both(mask, &self.hard);
        let soft: [u64; R] = std::array::from_fn(|w| mask[w] & free[w] & !self.hard[w]);
        let has_soft = soft != [0; R];
        next.alive.clear();
        next.cost.clear();
        for (column, cost) in level.alive.iter().zip(&level.cost) {
            let other = &self.mask[usize::from(*column)];
            if *cost > room || meets(other, &hard) {
                continue;
            }
            let mut cost = *cost;
            if has_soft {
                let open: [u64; R] =
                    std::array::from_fn(|w| other[w] & free[w] & !mask[w] & !self.hard[w]);
                if open == [0; R] {
                    continue;
                }
                each_bit(&both(other, &soft), |row| cost += core.twice[row] - self.price[row]);
            }
            let counted = core.counted[usize::from(*column)];
            let fits = counted == UNCOUNTED
                || core.load[usize::from(*column)] <= self.capacity[counted as usize];
            if cost <= room && fits {
                next.alive.push(*column);
                next.cost.push(cost);
            }
        }
    }
}

fn drop_beyond(level: &mut Level, room: i64) -> bool {
    let before = level.alive.len();
    let mut to = 0;
    for from in 0..before {
        level.alive[to] = level.alive[from];
        level.cost[to] = level.cost[from];
        to += usize::from(level.cost[from] <= room);
    }
    level.alive.truncate(to);
    level.cost.truncate(to);
    to < before
}

#[inline]
fn both<const R: usize>(a: &[u64; R], b: &[u64; R]) -> [u64; R] {
    std::array::from_fn(|word| a[word] & b[word])
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("COLUMNS_MAX is within 16 bits")
}
