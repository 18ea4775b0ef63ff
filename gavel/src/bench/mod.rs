//! `gavel bench`: what things cost here, beside what they cost at least.

pub mod core;
mod draw;
mod floor;
mod flows;
mod hard;
mod instructions;
mod machine;
mod market;
mod measure;
mod memory;
mod mixed;
pub mod solver;
pub mod wire;
