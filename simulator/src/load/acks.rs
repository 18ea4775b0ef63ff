//! What the exchange has acknowledged, so that somebody else can check that all of it is there.

use std::io::BufRead;

use gavel_protocol::{Accepted, AgentId, CapabilityId, ClientId, Command, Outcome, TimestampNs};
use serde::{Deserialize, Serialize};

/// A command that was answered `Accepted`. As text: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Who sent the command.
    pub agent: AgentId,
    /// Which of its commands.
    #[serde(flatten)]
    pub key: AckKey,
    /// The name of the command's template.
    pub template: String,
    /// What it brought about.
    pub outcome: Outcome,
    /// When, in sequenced time.
    pub ts_event: TimestampNs,
}

/// What tells a command from the others of its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AckKey {
    /// The client's own number.
    ClientId {
        /// That number.
        client_id: ClientId,
    },
    /// For a standing quote, its revision.
    Revision {
        /// The kind of work.
        capability: CapabilityId,
        /// The revision. As JSON: a decimal string.
        #[serde(with = "u64_text")]
        revision: u64,
    },
}

impl AckKey {
    /// Returns what tells `command` from the others of its agent, if a client may send it.
    pub fn of(command: &Command) -> Option<Self> {
        if let Command::SetStandingQuote(set) = command {
            return Some(Self::Revision { capability: set.capability, revision: set.revision });
        }
        if let Command::CancelStandingQuote(cancel) = command {
            let (capability, revision) = (cancel.capability, cancel.revision);
            return Some(Self::Revision { capability, revision });
        }
        command.client_id().map(|client_id| Self::ClientId { client_id })
    }
}

impl Ack {
    /// Puts together what was sent and what was answered.
    pub(crate) fn new(
        agent: AgentId,
        key: AckKey,
        template: &'static str,
        accepted: &Accepted,
    ) -> Self {
        let Accepted { ts_event, outcome, .. } = *accepted;
        Self { agent, key, template: template.to_owned(), outcome, ts_event }
    }
}

/// Why a file of acknowledgements cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadAckError {
    /// Reading a line.
    #[error("cannot read line {line} of the acknowledgements")]
    Read {
        /// Its number, from 1.
        line: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Understanding a line that is complete.
    #[error("line {line} is not an acknowledgement")]
    Parse {
        /// Its number, from 1.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads acknowledgements, one per line, and calls `visit` for each in their order. A last line
/// without its end is left out: whoever wrote it was killed meanwhile.
///
/// # Errors
///
/// [`ReadAckError`] with the number of the line.
pub fn read_acks(mut from: impl BufRead, mut visit: impl FnMut(Ack)) -> Result<(), ReadAckError> {
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        from.read_line(&mut text).map_err(|source| ReadAckError::Read { line, source })?;
        let Some(text) = text.strip_suffix('\n') else { break };
        visit(serde_json::from_str(text).map_err(|source| ReadAckError::Parse { line, source })?);
    }
    Ok(())
}

/// A bare `u64` as a decimal string, because a JSON number is exact only up to 2^53.
mod u64_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use gavel_protocol::{RfqHandle, RfqId};

    /// Returns the acknowledgement of an RFQ.
    pub(crate) fn ack(number: u64) -> Ack {
        let handle = RfqHandle { rfq: RfqId::new(number), closes_at: TimestampNs::from_nanos(9) };
        Ack {
            agent: AgentId::new(7),
            key: AckKey::ClientId { client_id: ClientId::new(number.into()) },
            template: String::from("OpenRfq"),
            outcome: Outcome::Rfq(handle),
            ts_event: TimestampNs::from_nanos(8),
        }
    }

    fn standing() -> Ack {
        let key = AckKey::Revision { capability: CapabilityId::new(3), revision: u64::MAX };
        let template = String::from("SetStandingQuote");
        Ack { key, template, outcome: Outcome::Done, ..ack(1) }
    }

    fn read(text: &str) -> Result<Vec<Ack>, ReadAckError> {
        let mut acks = Vec::new();
        read_acks(text.as_bytes(), |ack| acks.push(ack)).map(|()| acks)
    }

    #[test]
    fn an_acknowledgement_is_one_flat_line() {
        let line = serde_json::to_string(&ack(2)).unwrap();
        let expected = concat!(
            r#"{"agent":"agent_0000000000000007","client_id":"00000000000000000000000000000002","#,
            r#""template":"OpenRfq","outcome":{"rfq":{"rfq":"rfq_0000000000000002","#,
            r#""closes_at":"9"}},"ts_event":"8"}"#
        );
        assert_eq!(line, expected);
        let line = serde_json::to_string(&standing()).unwrap();
        assert!(line.contains(r#""capability":"cap_0000000000000003","revision":"1844"#), "{line}");
    }

    #[test]
    fn what_was_written_is_read_back_without_a_torn_last_line() {
        let acks = [ack(1), standing(), ack(2)];
        let lines: Vec<_> = acks.iter().map(|ack| serde_json::to_string(ack).unwrap()).collect();
        let text = lines.join("\n");
        assert_eq!(read(&text).unwrap(), acks[..2]);
        assert_eq!(read(&format!("{text}\n")).unwrap(), acks);
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let line = serde_json::to_string(&ack(1)).unwrap();
        let error = read(&format!("{line}\n{{}}\n{line}\n")).unwrap_err();
        assert!(matches!(error, ReadAckError::Parse { line: 2, .. }));
    }
}
