//! `gavel bench`: what things cost here, beside what they cost at least.

pub mod core;
mod floor;
mod machine;
mod market;
pub mod wire;
