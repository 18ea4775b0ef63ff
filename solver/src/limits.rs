//! How large a problem may be, and how much the search may hold at once.

/// Items of one problem: an item set is four words of 64 bits.
pub const ITEMS_MAX: usize = 256;
/// Bids of one problem.
pub const BIDS_MAX: usize = 4_096;
/// Problems that wait for the exchange's pool of solvers.
pub const POOL_PROBLEMS_MAX: usize = 1_024;

/// Groups of one problem: one for each bid.
pub const GROUPS_MAX: usize = BIDS_MAX;
/// The largest sum of all scores and reserves of a problem, so that every sum the solver forms, with
/// eight bits after the point, is far from overflowing.
pub const AMOUNT_SUM_MAX: u64 = 1 << 50;
/// The largest load of an item, and the largest capacity of a group.
pub const LOAD_MAX: u32 = 1 << 20;
/// Feasible combinations of one OR group that are written out as columns of their own; a group with
/// more is kept to its capacity by counting.
pub const COMBINATIONS_PER_GROUP_MAX: usize = 96;
/// Columns of one problem, all written-out combinations included.
pub const COLUMNS_MAX: usize = 2 * BIDS_MAX;
/// Coalitions whose objections are heard before a payment in the core is given up as unproven.
pub const CORE_CONSTRAINTS_MAX: usize = 512;

// An item set's words, and columns numbered by 16 bits.
const _: () = assert!(ITEMS_MAX == 4 * 64 && COLUMNS_MAX <= 1 << 16);
// Loads of a whole problem fit a u32 even if one bundle holds every item.
const _: () = assert!((ITEMS_MAX as u64) * (LOAD_MAX as u64) <= u32::MAX as u64);
