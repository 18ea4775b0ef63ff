//! The seeded world: the real sessions, sequencer and exchange under virtual time, with a simulated
//! network, disk and clock, agents honest and hostile, and crashes at any step.
//!
//! Everything that is drawn comes from one seed, so that whatever goes wrong goes wrong again. An
//! [`auditor`] keeps its own naive books of what was published and says what must follow; checks of
//! what clients see are made by the simulated agents. What it does *not* do: load a machine, or keep
//! anything on a real disk.

mod agent;
mod auditor;
mod disk;
mod many;
mod market;
mod network;
mod plan;
mod report;
mod run;

pub use many::{Many, run_many};
pub use report::{Failure, Tally};
pub use run::{Limits, run};
