//! Tests across the crates; see `tests/tests` and the scenarios in `tests/scenarios`.
