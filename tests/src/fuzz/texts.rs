//! Texts: scenarios, instance files of the solver, and how single values are written.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use gavel_protocol::{
    AccountId, AgentId, CapabilityId, ClientId, ContractId, Currency, Digest, DurationNs, Micros,
    Name, Nonce, PublicKey, QuoteId, RfqId, SessionId, SignatureBytes, TimestampNs,
};
use gavel_sequencer::journal::PostgresAddress;
use gavel_simulator::scenario;
use gavel_solver::file;

use super::memory::within;
use super::{Verdict, memory_for};

/// Runs a scenario. One that is not refused comes out the same when it is run again, and says so.
pub(super) fn check_scenario(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Verdict::Refused };
    match scenario::run(text) {
        Ok(ran) => {
            let again = scenario::run(&ran.golden()).expect("it has just been run");
            assert_eq!(again.output, ran.output);
            assert!(again.is_as_expected());
            Verdict::Read
        }
        Err(error) => {
            assert!((1..=text.lines().count()).contains(&error.line), "{error}");
            Verdict::Refused
        }
    }
}

/// Reads an instance file. What was read is written so that it is read as the same again.
pub(super) fn check_instance(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Verdict::Refused };
    // A problem has a place for each of its 256 items.
    match within(64 * 1_024 + memory_for(input.len()), || file::read(text)) {
        Ok(instance) => {
            let written = file::write(&instance);
            let again = file::read(&written).expect("it has just been written");
            assert_eq!(file::write(&again), written);
            Verdict::Read
        }
        Err(error) => {
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error}");
            Verdict::Refused
        }
    }
}

/// Reads a text as every kind of value that is written as one. What was read is written as a text that
/// means the same.
pub(super) fn check_notation(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Verdict::Refused };
    let ids = is_read::<AccountId>(text)
        | is_read::<AgentId>(text)
        | is_read::<CapabilityId>(text)
        | is_read::<RfqId>(text)
        | is_read::<QuoteId>(text)
        | is_read::<ContractId>(text)
        | is_read::<SessionId>(text)
        | is_read::<ClientId>(text);
    let bytes = is_read::<Digest>(text)
        | is_read::<PublicKey>(text)
        | is_read::<SignatureBytes>(text)
        | is_read::<Nonce>(text);
    let plain = is_read::<Currency>(text)
        | is_read::<Name>(text)
        | is_read::<TimestampNs>(text)
        | is_read::<DurationNs>(text);
    match ids | bytes | plain | is_amount(text) | is_address(text) {
        true => Verdict::Read,
        false => Verdict::Refused,
    }
}

fn is_read<T: FromStr + Display + Debug + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    let again = value.to_string().parse::<T>();
    assert_eq!(again.ok(), Some(value));
    true
}

fn is_amount(text: &str) -> bool {
    let units = Micros::parse_units(text);
    if let Ok(amount) = units {
        assert_eq!(Micros::parse_units(&amount.to_string()), Ok(amount));
    }
    // The form of JSON counts millionths.
    let millionths = text.parse::<Micros>();
    if let Ok(amount) = &millionths {
        assert_eq!(amount.raw().to_string().parse(), Ok(*amount));
    }
    units.is_ok() || millionths.is_ok()
}

fn is_address(text: &str) -> bool {
    let Ok(address) = text.parse::<PostgresAddress>() else { return false };
    // It can be shown to anybody, whatever is in it.
    drop(address.to_string());
    true
}
