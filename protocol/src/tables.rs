//! How large the tables of an exchange are in this build.

/// Returns how many entries a table of the exchange gets that otherwise has `most`: a sixteenth in a
/// build with the feature `small-tables`, for worlds of a few agents that make one exchange after
/// another.
pub const fn table(most: u32) -> u32 {
    if cfg!(feature = "small-tables") { most / 16 } else { most }
}
