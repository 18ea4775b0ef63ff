//! Populations of synthetic agents in a market of virtual time: what do its rules do to them?
//!
//! A [`Population`] says who trades: what jobs are worth to buyers, what they cost providers, how
//! fast those answer and how they behave. [`run`] draws everything from a seed and lets the same
//! agents trade in several [`Venue`]s: on the pure exchange with a window, first come first served,
//! and at once against standing quotes. What came out is measured against the optimum. The model is
//! described in `docs/ECONOMY.md`.

mod agenda;
mod chart;
mod commitments;
mod error;
mod exchange;
mod first_come;
mod market;
mod optimum;
mod plots;
mod population;
mod report;
mod run;
mod strategy;
mod tally;
mod world;

pub use error::{EconomyError, PopulationError};
pub use plots::{Plot, plots};
pub use population::{Amount, Behaviour, Buyers, CostKnown, Population, ProviderGroup, Span};
pub use report::{
    Chances, GroupReport, LatencyBucket, MarketReport, OptimumReport, VenueReport, Waiting,
    WindowReport,
};
pub use run::{run, sweep};
pub use strategy::Venue;
