//! `gavel bench`: what things cost here, beside what they cost at least.

mod bare;
pub mod core;
mod draw;
mod floor;
mod flows;
mod hard;
mod instructions;
pub mod journal;
mod latency;
mod machine;
mod market;
mod measure;
mod memory;
mod mixed;
mod rates;
mod served;
pub mod solver;
pub mod wire;
