//! Runs a population in every venue, on the same draws.

use gavel_protocol::DurationNs;

use super::error::EconomyError;
use super::exchange;
use super::first_come;
use super::optimum::optimum;
use super::population::Population;
use super::report::{MarketReport, VenueReport, WindowReport, share_of};
use super::strategy::Venue;
use super::world::{World, millis};

/// The windows of a sweep, in milliseconds.
const SWEEP_MS: [u32; 15] = [0, 5, 10, 15, 20, 30, 40, 50, 60, 80, 100, 120, 140, 160, 200];

/// Lets a population trade in every venue that applies. The same seed yields the same report.
///
/// # Errors
///
/// [`EconomyError`] if the population breaks a rule, or the exchange refuses what the market begins
/// with.
///
/// # Panics
///
/// If the exchange breaks one of its invariants.
pub fn run(population: &Population, seed: u64) -> Result<MarketReport, EconomyError> {
    let world = World::draw(population, seed)?;
    let (optimum, window) = (optimum(&world), millis(population.window_ms));
    let mut venues = Vec::new();
    for venue in Venue::ALL {
        let tally = match venue {
            Venue::Windowed => exchange::trade(&world, window)?,
            Venue::WindowZero if population.has_standing_quotes() => {
                exchange::trade(&world, DurationNs::ZERO)?
            }
            // Nobody stands: every RFQ would pass.
            Venue::WindowZero => continue,
            Venue::FirstCome => first_come::trade(&world, window),
        };
        venues.push(VenueReport::new(&world, optimum, venue, tally));
    }
    Ok(MarketReport {
        population: population.name,
        seed,
        rfqs: population.rfqs,
        buyers: population.buyers.count,
        providers: population.provider_count(),
        format: population.format,
        window_ms: population.window_ms,
        optimum: optimum.into(),
        venues,
        by_window: Vec::new(),
    })
}

/// Lets a population trade on the exchange with windows of 0 to 200 ms, and everything else the same.
///
/// # Errors
///
/// Those of [`run`].
///
/// # Panics
///
/// Where [`run`] does.
pub fn sweep(population: &Population, seed: u64) -> Result<Vec<WindowReport>, EconomyError> {
    let world = World::draw(population, seed)?;
    let optimum = optimum(&world);
    let at = |window_ms| {
        let tally = exchange::trade(&world, millis(window_ms))?;
        Ok(WindowReport { window_ms, welfare_share: share_of(optimum, &tally) })
    };
    SWEEP_MS.into_iter().map(at).collect()
}
