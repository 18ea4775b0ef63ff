//! A region of the problem, some winners being kept, as a core for branch and bound.

use crate::branch::{Branch, Searched};
use crate::clock::Clock;
use crate::columns::{Columns, Setting, UNCOUNTED};
use crate::items::{bits, lies_within, meets};
use crate::prices::{FINE, Proven};

/// What winners that are kept leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept<const W: usize> {
    pub covered: Vec<[u64; W]>,
    /// Per group, whether one of its columns is kept.
    pub groups: Vec<bool>,
    pub capacity: Vec<u32>,
    pub surplus: i64,
}

impl<const W: usize> Kept<W> {
    pub(crate) fn reset(&mut self, columns: &Columns<W>, setting: &Setting) {
        self.covered.clear();
        self.covered.push([0; W]);
        self.groups.clear();
        let groups = columns.group.last().map_or(0, |last| *last as usize + 1);
        self.groups.resize(groups, false);
        self.capacity.clone_from(&setting.capacity);
        self.surplus = 0;
    }

    /// Returns what a column adds, or `None` if it does not go with what is kept.
    pub(crate) fn gain(
        &self,
        columns: &Columns<W>,
        setting: &Setting,
        column: usize,
    ) -> Option<i64> {
        let mask = &columns.mask[column];
        if self.groups[columns.group[column] as usize] {
            return None;
        }
        let counted = columns.counted[column];
        if counted != UNCOUNTED && columns.load[column] > self.capacity[counted as usize] {
            return None;
        }
        let mut value = columns.value[column];
        if meets(mask, &self.covered[0]) {
            if setting.exact {
                return None;
            }
            let twice: [u64; W] = std::array::from_fn(|word| mask[word] & self.covered[0][word]);
            value -= bits(twice).map(|item| setting.reserve[item]).sum::<i64>();
        }
        Some(value)
    }

    /// Keeps a column.
    pub(crate) fn keep(&mut self, columns: &Columns<W>, column: usize, gain: i64) {
        for word in 0..W {
            self.covered[0][word] |= columns.mask[column][word];
        }
        self.groups[columns.group[column] as usize] = true;
        let counted = columns.counted[column];
        if counted != UNCOUNTED {
            self.capacity[counted as usize] -= columns.load[column];
        }
        self.surplus += gain;
    }
}

/// What prices have left of a problem or of a region of it.
#[derive(Debug, Default)]
pub(crate) struct Core {
    /// Per row: its price.
    pub price: Vec<i64>,
    /// Per row: what a further column in it costs on top, or `i64::MAX` where there may be none.
    pub over: Vec<i64>,
    /// Per column: its rows begin here; one more than columns.
    pub start: Vec<u32>,
    pub rows: Vec<u16>,
    pub cost: Vec<i64>,
    /// Per column: what it adds to the winners that are kept.
    pub worth: Vec<i64>,
    /// Per row: what a second award of an item takes off.
    pub reserve: Vec<i64>,
    pub name: Vec<u32>,
    pub counted: Vec<u32>,
    pub load: Vec<u32>,
    pub capacity: Vec<u32>,
    /// What the columns that are chosen must add more than.
    pub had: i64,
    /// What may be used in all.
    pub room: i64,
    /// Whether what is used is exactly what the bound falls by. Then what a row without a price is
    /// filled with never adds anything.
    pub is_tight: bool,
}

impl Core {
    pub(crate) fn clear(&mut self) {
        self.price.clear();
        self.over.clear();
        self.start.clear();
        self.start.push(0);
        self.rows.clear();
        self.cost.clear();
        self.worth.clear();
        self.reserve.clear();
        self.name.clear();
        self.counted.clear();
        self.load.clear();
        self.capacity.clear();
        self.had = 0;
        self.room = 0;
    }

    /// Returns the rows of a column.
    pub(crate) fn rows_of(&self, column: usize) -> &[u16] {
        &self.rows[self.start[column] as usize..self.start[column + 1] as usize]
    }
}

/// The search, and the core that it searches.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    core: Core,
    row_of_item: Vec<u16>,
    picked: Vec<(u32, i64, i64)>,
    branch: Branch,
    /// Names of the best columns found.
    pub best: Vec<u32>,
}

impl Searches {
    /// Loads what is beside the kept winners; returns how many columns and rows that is, or `None`
    /// if it can bring nothing better than `had` in all.
    pub(crate) fn load<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        proven: &Proven,
        kept: &Kept<W>,
        had: i64,
    ) -> Option<(usize, usize)> {
        let core = &mut self.core;
        core.clear();
        core.capacity.extend_from_slice(&kept.capacity);
        let covered = kept.covered[0];
        let mut free = [0_u64; W];
        self.row_of_item.resize(setting.rows, 0);
        let mut bound = kept.surplus << FINE;
        for item in 0..setting.rows {
            if covered[item / 64] >> (item % 64) & 1 == 0 {
                free[item / 64] |= 1 << (item % 64);
                self.row_of_item[item] = narrow(core.price.len());
                core.price.push(proven.price[item]);
                core.over.push(proven.over[item]);
                core.reserve.push(setting.reserve[item]);
                bound += proven.price[item];
            }
        }
        let mut at = 0;
        while at < columns.len() {
            let group = columns.group[at];
            let mut end = at + 1;
            while end < columns.len() && columns.group[end] == group {
                end += 1;
            }
            if !kept.groups[group as usize] {
                bound += proven.group_left[at];
            }
            at = end;
        }
        core.room = bound - ((had + 1) << FINE);
        core.had = had - kept.surplus;
        core.is_tight = setting.exact || setting.cuts.is_empty();
        if core.room < 0 {
            return None;
        }
        let mut at = 0;
        while at < columns.len() {
            let group = columns.group[at];
            let from = at;
            while at < columns.len() && columns.group[at] == group {
                at += 1;
            }
            if !kept.groups[group as usize] {
                self.load_group(columns, setting, proven, kept, &free, from..at);
            }
        }
        (self.core.room >= 0).then_some((self.core.cost.len(), self.core.price.len()))
    }

    fn load_group<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        proven: &Proven,
        kept: &Kept<W>,
        free: &[u64; W],
        group: std::ops::Range<usize>,
    ) {
        let best = proven.group_left[group.start];
        self.picked.clear();
        for column in group {
            let mask = &columns.mask[column];
            let mut cost = best - proven.left[column];
            let mut worth = columns.value[column];
            if setting.exact {
                if cost > self.core.room || !lies_within(mask, free) {
                    continue;
                }
            } else if !meets(mask, free) {
                continue;
            }
            if !setting.exact {
                let twice: [u64; W] = std::array::from_fn(|word| mask[word] & !free[word]);
                for item in bits(twice) {
                    cost += proven.over[item];
                    worth -= setting.reserve[item];
                }
            }
            let counted = columns.counted[column];
            let fits =
                counted == UNCOUNTED || columns.load[column] <= kept.capacity[counted as usize];
            if cost <= self.core.room && fits && worth > 0 {
                self.picked.push((u32::from(narrow(column)), cost, worth));
            }
        }
        let core = &mut self.core;
        let row = match self.picked.len() {
            0 => {
                core.room -= best;
                return;
            }
            1 if best == 0 => None,
            _ => {
                core.price.push(best);
                core.over.push(i64::MAX);
                core.reserve.push(0);
                Some(narrow(core.price.len() - 1))
            }
        };
        for (column, cost, worth) in &self.picked {
            for item in columns.rows_of(*column as usize) {
                let item = usize::from(*item);
                if free[item / 64] >> (item % 64) & 1 == 1 {
                    core.rows.push(self.row_of_item[item]);
                }
            }
            core.rows.extend(row);
            core.start.push(u32::try_from(core.rows.len()).expect("COLUMNS_MAX sets of 257"));
            core.cost.push(*cost);
            core.worth.push(*worth);
            core.name.push(*column);
            core.counted.push(columns.counted[*column as usize]);
            core.load.push(columns.load[*column as usize]);
        }
    }

    /// Searches what was loaded; returns whether anything better was found, and whether that is the
    /// best.
    pub(crate) fn search(&mut self, work: u64, clock: &mut Clock<'_>) -> (bool, Searched) {
        let searched = self.branch.search(&self.core, work, clock);
        if self.branch.found {
            self.best.clear();
            let found = self.branch.best.iter();
            self.best.extend(found.map(|column| self.core.name[usize::from(*column)]));
        }
        (self.branch.found, searched)
    }
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("COLUMNS_MAX is within 16 bits")
}
