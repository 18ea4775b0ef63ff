//! Which bundles win: an anytime solver for combinatorial auctions with up to 256 items and 4,096
//! bids, forward and procurement. It always has a feasible solution and a bound that no solution
//! beats; given time, the two meet.
//!
//! It does *not* know what is traded, by whom, or what an award sets off, and does no I/O. Only the
//! exchange's pool of solvers starts threads.

mod answer;
mod branch;
mod certificate;
mod chains;
mod cliques;
mod clock;
mod columns;
mod construct;
mod cuts;
pub mod file;
pub mod generate;
mod greedy;
mod items;
pub mod limits;
mod local_search;
mod payments;
mod pool;
mod prices;
mod problem;
mod region;
mod solver;
mod subsets;
mod swaps;
mod whole;

pub use answer::{Config, Progress, Solution, Status};
pub use certificate::{Certificate, verify};
pub use clock::Budget;
pub use items::Items;
pub use payments::{Amount, Payment, Payments, Rule, pay};
pub use pool::{PoolHandle, SolverPool, propose};
pub use problem::{Bid, BidId, BuildError, Cover, Group, GroupId, Item, Kind, Problem};
pub use solver::{Solver, solve};
