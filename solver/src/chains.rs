//! Ejection chains: a column goes in, what stands in its way goes out, and the hole is filled.
//!
//! Iterated local search as for independent sets (Andrade, Resende and Werneck 2012): one column is
//! forced in, the columns that exclude it are ejected, and items that became free are filled with
//! the columns that the prices like best. What is not worse stays; what is somewhat worse stays now
//! and then, and is taken back if nothing better comes of it. Which column is forced in is drawn
//! with a bias towards those that the prices like (as stochastic search by Hoos and Boutilier's
//! Casanova 2000 does by value per item).

use crate::clock::Clock;
use crate::columns::{Columns, Setting, UNCOUNTED};
use crate::items::{each_bit, lies_within};
use crate::local_search::Random;

/// Nobody.
const NOBODY: u32 = u32::MAX;
/// Columns that are drawn, of which one goes in.
const DRAWN: usize = 3;
/// Columns that are looked at to fill one item.
const LOOKED_AT_MAX: usize = 32;
/// Buckets that columns are put in order by.
const BUCKETS: usize = 256;

/// The search.
#[derive(Debug, Default)]
pub(crate) struct Chains<const W: usize> {
    /// Columns by how the prices like them, best first.
    order: Vec<u32>,
    /// Per item: its columns begin here, in the same order.
    item_start: Vec<u32>,
    of_item: Vec<u32>,
    /// Per item: how many winners hold it, and one of them.
    held: Vec<u32>,
    owner: Vec<u32>,
    group_owner: Vec<u32>,
    capacity: Vec<u32>,
    is_in: Vec<bool>,
    free: Vec<[u64; W]>,
    winners: Vec<u32>,
    surplus: i64,
    /// What went in and out since the last solution that was kept.
    log: Vec<(u32, bool)>,
    out: Vec<u32>,
    keys: Vec<u32>,
    bucket: Vec<u32>,
}

impl<const W: usize> Chains<W> {
    /// Takes the columns, with what a choice of each costs, and the winners to begin with.
    pub(crate) fn begin(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        cost: impl Fn(usize) -> i64,
        winners: &[u32],
    ) {
        self.put_in_order(columns, cost);
        self.list_by_item(columns, setting);
        self.held.clear();
        self.held.resize(setting.rows, 0);
        self.owner.clear();
        self.owner.resize(setting.rows, NOBODY);
        self.group_owner.clear();
        let groups = columns.group.last().map_or(0, |last| *last as usize + 1);
        self.group_owner.resize(groups, NOBODY);
        self.capacity.clone_from(&setting.capacity);
        self.is_in.clear();
        self.is_in.resize(columns.len(), false);
        self.free.clear();
        self.free.push([0; W]);
        for item in 0..setting.rows {
            self.free[0][item / 64] |= 1 << (item % 64);
        }
        self.winners.clear();
        self.surplus = 0;
        for column in winners {
            self.put_in(columns, setting, *column);
        }
        self.log.clear();
    }

    fn put_in_order(&mut self, columns: &Columns<W>, cost: impl Fn(usize) -> i64) {
        let most = (0..columns.len()).map(&cost).max().unwrap_or(0).max(1);
        // Small costs are told apart better than large ones.
        let key = |column: usize| {
            let share = cost(column).max(0).saturating_mul(1 << 16) / most;
            let root = share.isqrt();
            u32::try_from(root).unwrap_or(0).min(255)
        };
        self.keys.clear();
        self.keys.extend((0..columns.len()).map(key));
        self.bucket.clear();
        self.bucket.resize(BUCKETS + 1, 0);
        for key in &self.keys {
            self.bucket[*key as usize + 1] += 1;
        }
        for bucket in 1..=BUCKETS {
            self.bucket[bucket] += self.bucket[bucket - 1];
        }
        self.order.resize(columns.len(), 0);
        for (column, key) in (0..).zip(&self.keys) {
            let place = &mut self.bucket[*key as usize];
            self.order[*place as usize] = column;
            *place += 1;
        }
    }

    fn list_by_item(&mut self, columns: &Columns<W>, setting: &Setting) {
        self.item_start.clear();
        self.item_start.resize(setting.rows + 2, 0);
        for row in &columns.rows {
            self.item_start[usize::from(*row) + 2] += 1;
        }
        for item in 2..setting.rows + 2 {
            self.item_start[item] += self.item_start[item - 1];
        }
        self.of_item.resize(columns.rows.len(), 0);
        for column in &self.order {
            for row in columns.rows_of(*column as usize) {
                let place = &mut self.item_start[usize::from(*row) + 1];
                self.of_item[*place as usize] = *column;
                *place += 1;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the problem, how long, and where to put it")]
    /// Searches for so many chains; returns whether better winners than `had` were found, which are
    /// then in `best`.
    pub(crate) fn search(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        random: &mut Random,
        chains: u32,
        mut had: i64,
        best: &mut Vec<u32>,
        clock: &mut Clock<'_>,
    ) -> bool {
        let mut found = false;
        let mut kept = self.surplus;
        let mut vain = 0;
        for _ in 0..chains {
            let Some(column) = self.draw(columns, random) else { continue };
            let before = self.surplus;
            let mark = self.log.len();
            let work = self.chain(columns, setting, column);
            if !clock.spend(work + 80) {
                break;
            }
            if self.surplus > had {
                had = self.surplus;
                best.clone_from(&self.winners);
                found = true;
            }
            if self.surplus >= kept {
                vain = if self.surplus > kept { 0 } else { vain };
                kept = self.surplus;
                self.log.clear();
                continue;
            }
            vain += 1;
            // Somewhat worse is kept for a while, if it is not much worse than what it came from.
            let loss = before - self.surplus;
            let patient = self.log.len() < 48 && loss * 64 <= kept && random.below(4) == 0;
            if !patient {
                let back = if random.below(8) == 0 { 0 } else { mark };
                self.take_back(columns, setting, back);
            }
        }
        found
    }

    /// Draws columns, rather those that the prices like; returns the one that costs least now.
    fn draw(&self, columns: &Columns<W>, random: &mut Random) -> Option<u32> {
        let mut best = None;
        for _ in 0..DRAWN {
            let zeroth = random.below(self.order.len());
            let first = random.below(zeroth + 1);
            let column = self.order[random.below(first + 1)];
            if self.is_in[column as usize] {
                continue;
            }
            let gain = self.gain(columns, column as usize);
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, column));
            }
        }
        best.map(|(_, column)| column)
    }

    /// Returns about what a column adds at once: its value less that of the winners in its way. One
    /// that is met again after others counts again.
    fn gain(&self, columns: &Columns<W>, column: usize) -> i64 {
        let mut gain = columns.value[column];
        let of_group = self.group_owner[columns.group[column] as usize];
        if of_group != NOBODY {
            gain -= columns.value[of_group as usize];
        }
        let mut last = [of_group, NOBODY];
        for row in columns.rows_of(column) {
            let row = usize::from(*row);
            let owner = self.owner[row];
            if self.held[row] > 0 && !last.contains(&owner) {
                gain -= columns.value[owner as usize];
                last = [owner, last[0]];
            }
        }
        gain
    }

    fn chain(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) -> u64 {
        let mut work = self.eject(columns, setting, column);
        self.move_in(columns, setting, column);
        if !setting.exact {
            work += self.eject_redundant(columns, setting, column);
        }
        // Whatever was ejected left a hole.
        let out = std::mem::take(&mut self.out);
        for ejected in &out {
            for row in columns.rows_of(*ejected as usize) {
                if self.held[usize::from(*row)] == 0 {
                    work += self.fill(columns, setting, usize::from(*row));
                }
            }
        }
        self.out = out;
        work
    }

    /// Takes out what cannot stay beside a column.
    fn eject(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) -> u64 {
        self.out.clear();
        let column = column as usize;
        let group_owner = self.group_owner[columns.group[column] as usize];
        if group_owner != NOBODY {
            self.move_out(columns, setting, group_owner);
        }
        if setting.exact {
            for row in columns.rows_of(column) {
                let owner = self.owner[usize::from(*row)];
                if self.held[usize::from(*row)] > 0 {
                    self.move_out(columns, setting, owner);
                }
            }
        }
        let counted = columns.counted[column];
        while counted != UNCOUNTED && columns.load[column] > self.capacity[counted as usize] {
            let taker = self.winners.iter().find(|w| columns.counted[**w as usize] == counted);
            let taker = *taker.expect("each alone is within its group's capacity");
            self.move_out(columns, setting, taker);
        }
        columns.rows_of(column).len() as u64 * 2
    }

    /// Takes out winners that a column has made not worth their while, the worst first.
    fn eject_redundant(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) -> u64 {
        let mut work = 0;
        loop {
            let mut worst = (0, NOBODY);
            for winner in &self.winners {
                work += 2;
                if *winner == column {
                    continue;
                }
                let met = crate::items::meets(
                    &columns.mask[*winner as usize],
                    &columns.mask[column as usize],
                );
                if met {
                    let worth = self.worth(columns, setting, *winner as usize, 1);
                    work += columns.rows_of(*winner as usize).len() as u64;
                    worst = worst.min((worth, *winner));
                }
            }
            if worst.0 >= 0 {
                return work;
            }
            self.move_out(columns, setting, worst.1);
        }
    }

    /// Returns what a column adds beside the winners, of which `own` are itself.
    fn worth(&self, columns: &Columns<W>, setting: &Setting, column: usize, own: u32) -> i64 {
        let mut worth = columns.value[column];
        if !setting.exact {
            for row in columns.rows_of(column) {
                if self.held[usize::from(*row)] > own {
                    worth -= setting.reserve[usize::from(*row)];
                }
            }
        }
        worth
    }

    /// Fills an item with the first column that goes and is worth it.
    fn fill(&mut self, columns: &Columns<W>, setting: &Setting, item: usize) -> u64 {
        let from = self.item_start[item] as usize;
        let range = from..(self.item_start[item + 1] as usize).min(from + LOOKED_AT_MAX);
        let mut looked = 0;
        for place in range {
            let column = self.of_item[place] as usize;
            looked += 2;
            if self.group_owner[columns.group[column] as usize] != NOBODY {
                continue;
            }
            if setting.exact {
                if !lies_within(&columns.mask[column], &self.free[0]) {
                    continue;
                }
            } else if self.worth(columns, setting, column, 0) <= 0 {
                looked += 4;
                continue;
            }
            let counted = columns.counted[column];
            if counted != UNCOUNTED && columns.load[column] > self.capacity[counted as usize] {
                continue;
            }
            self.move_in(columns, setting, self.of_item[place]);
            break;
        }
        looked
    }

    fn move_in(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) {
        self.put_in(columns, setting, column);
        self.log.push((column, true));
    }

    fn move_out(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) {
        self.put_out(columns, setting, column);
        self.log.push((column, false));
        self.out.push(column);
    }

    fn put_in(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) {
        let index = column as usize;
        self.surplus += self.worth(columns, setting, index, 0);
        for row in columns.rows_of(index) {
            self.held[usize::from(*row)] += 1;
            self.owner[usize::from(*row)] = column;
        }
        for word in 0..W {
            self.free[0][word] &= !columns.mask[index][word];
        }
        self.group_owner[columns.group[index] as usize] = column;
        if columns.counted[index] != UNCOUNTED {
            self.capacity[columns.counted[index] as usize] -= columns.load[index];
        }
        self.is_in[index] = true;
        self.winners.push(column);
    }

    fn put_out(&mut self, columns: &Columns<W>, setting: &Setting, column: u32) {
        let index = column as usize;
        self.surplus -= self.worth(columns, setting, index, 1);
        let (held, free) = (&mut self.held, &mut self.free[0]);
        each_bit(&columns.mask[index], |item| {
            held[item] -= 1;
            if held[item] == 0 {
                free[item / 64] |= 1 << (item % 64);
            }
        });
        self.group_owner[columns.group[index] as usize] = NOBODY;
        if columns.counted[index] != UNCOUNTED {
            self.capacity[columns.counted[index] as usize] += columns.load[index];
        }
        self.is_in[index] = false;
        let place = self.winners.iter().position(|winner| *winner == column);
        self.winners.swap_remove(place.expect("it was in"));
    }

    fn take_back(&mut self, columns: &Columns<W>, setting: &Setting, mark: usize) {
        while self.log.len() > mark {
            match self.log.pop() {
                Some((column, true)) => self.put_out(columns, setting, column),
                Some((column, false)) => self.put_in(columns, setting, column),
                None => break,
            }
        }
    }
}
