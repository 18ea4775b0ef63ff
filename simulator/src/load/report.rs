//! What a load has done and what it took, as JSON for machines and as text for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use gavel_protocol::Codec;
use serde::{Serialize, Serializer};

use super::config::LoadConfig;

/// What has happened so far. `Display` writes one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How long it has traded. As JSON: seconds.
    #[serde(serialize_with = "as_seconds")]
    pub seconds: Duration,
    /// RFQs that were opened.
    pub rfqs: u64,
    /// Quotes, sealed and standing, that competed in RFQs that have ended.
    pub quotes: u64,
    /// RFQs that were awarded.
    pub awards: u64,
    /// Contracts that were paid.
    pub contracts_settled: u64,
    /// Contracts that were not delivered in time.
    pub contracts_expired: u64,
    /// Commands that were rejected, by the reason's name.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Connections that were lost and made again.
    pub reconnects: u64,
    /// Times that events could not be had any more; what they would have told is in no count.
    pub resyncs: u64,
    /// Commands that were answered `Accepted`: as many as there are lines of acknowledgements.
    pub acknowledged: u64,
    /// Acknowledgements that could not be written or collected.
    pub acks_lost: u64,
    /// Commands whose answer never came; they may have taken effect or not.
    pub unanswered: u64,
    /// Deliverables that were fetched and are what was announced.
    pub blobs_checked: u64,
    /// Blobs that could not be stored or fetched, or are not what was announced.
    pub blobs_failed: u64,
    /// How long it took, in nanoseconds.
    pub latency_ns: Latencies,
}

/// What was measured. Everything counts from when it was due, so time that was lost before sending
/// is included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// A sealed quote (due when its RFQ's announcement was read) or a standing update (due by
    /// schedule): to its durable answer.
    pub quote_ack: Percentiles,
    /// An RFQ, due by schedule: to its durable answer.
    pub rfq_ack: Percentiles,
    /// An RFQ of window zero, due by schedule: to its award.
    pub window0_award: Percentiles,
    /// Anything that is measured: to its sending. How late the load itself was; part of the others.
    pub sending: Percentiles,
}

/// A distribution of latencies, in nanoseconds; all zero if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// 999 of 1,000 took no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// How many there were.
    pub count: u64,
}

/// Under which conditions the figures came about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conditions {
    /// Sends were scheduled in advance, whatever the exchange did: always true.
    pub open_loop: bool,
    /// What everything was drawn from.
    pub seed: u64,
    /// The codec's name on the wire.
    pub codec: &'static str,
    /// Synthetic buyers.
    pub buyers: u32,
    /// Synthetic providers.
    pub providers: u32,
    /// Capabilities they traded.
    pub capabilities: u32,
    /// RFQs per second that were scheduled.
    pub rfqs_per_s: f64,
    /// The share of them that cleared at once.
    pub window_zero_share: f64,
    /// Updates of standing quotes per second that were scheduled.
    pub standing_updates_per_s: f64,
}

/// What a load has done in all. `Display` writes a small table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Under which conditions.
    pub conditions: Conditions,
    /// What happened.
    #[serde(flatten)]
    pub totals: Progress,
}

impl Conditions {
    /// Returns what a configuration says of them.
    pub(crate) fn of(config: &LoadConfig) -> Self {
        Self {
            open_loop: true,
            seed: config.seed,
            codec: match config.codec {
                Codec::Rkyv => "gavel/1",
                Codec::Json => "gavel-json/1",
            },
            buyers: config.buyers,
            providers: config.providers,
            capabilities: config.capabilities,
            rfqs_per_s: config.rfqs_per_s,
            window_zero_share: config.window_zero_share,
            standing_updates_per_s: config.standing_updates_per_s,
        }
    }
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

impl Progress {
    /// Returns how many commands were rejected, for whatever reason.
    pub fn rejected_in_all(&self) -> u64 {
        self.rejected.values().sum()
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latencies { quote_ack, rfq_ack, window0_award, .. } = self.latency_ns;
        write!(
            f,
            "{:.0} s: {} rfqs, {} quotes, {} awards, {} settled, {} expired, {} rejected, \
             {} reconnects; p50/p99 ms: rfq {}/{}, quote {}/{}, award {}/{}",
            self.seconds.as_secs_f64(),
            self.rfqs,
            self.quotes,
            self.awards,
            self.contracts_settled,
            self.contracts_expired,
            self.rejected_in_all(),
            self.reconnects,
            Millis(rfq_ack.p50),
            Millis(rfq_ack.p99),
            Millis(quote_ack.p50),
            Millis(quote_ack.p99),
            Millis(window0_award.p50),
            Millis(window0_award.p99),
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (conditions, totals) = (&self.conditions, &self.totals);
        writeln!(f, "{conditions}")?;
        writeln!(
            f,
            "{:.1} s: {} rfqs, {} quotes, {} awards, {} settled, {} expired, {} acknowledged",
            totals.seconds.as_secs_f64(),
            totals.rfqs,
            totals.quotes,
            totals.awards,
            totals.contracts_settled,
            totals.contracts_expired,
            totals.acknowledged,
        )?;
        for (reason, count) in &totals.rejected {
            writeln!(f, "  {count} rejected: {reason}")?;
        }
        let incidents = [
            ("connections lost and made again", totals.reconnects),
            ("streams that had to resync", totals.resyncs),
            ("commands without an answer", totals.unanswered),
            ("acknowledgements that could not be kept", totals.acks_lost),
            ("blobs that failed", totals.blobs_failed),
        ];
        for (what, count) in incidents.into_iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {count} {what}")?;
        }
        write!(f, "{}", totals.latency_ns)
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "open loop over {}: {} buyers, {} providers, {} capabilities, {} rfqs/s ({:.0} % at \
             window 0), {} standing updates/s, seed {}",
            self.codec,
            self.buyers,
            self.providers,
            self.capabilities,
            self.rfqs_per_s,
            100.0 * self.window_zero_share,
            self.standing_updates_per_s,
            self.seed,
        )
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["p50", "p99", "p99.9", "max"];
        write!(f, "{:<22}", "ms since it was due")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>9}"))?;
        write!(f, " {:>9}", "count")?;
        let rows = [
            ("quote acknowledged", self.quote_ack),
            ("rfq acknowledged", self.rfq_ack),
            ("window-0 rfq awarded", self.window0_award),
            ("sent (the load's own)", self.sending),
        ];
        for (what, Percentiles { p50, p99, p999, max, count }) in rows {
            write!(f, "\n{what:<22}")?;
            let figures = [p50, p99, p999, max].map(Millis);
            figures.iter().try_for_each(|millis| write!(f, " {millis:>9}"))?;
            write!(f, " {count:>9}")?;
        }
        Ok(())
    }
}

/// Nanoseconds, written as milliseconds with three decimals.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        f.pad(&format!("{}.{:03}", micros / 1_000, micros % 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::config::tests::config;
    use serde_json::Value;

    fn report() -> Report {
        let percentiles =
            Percentiles { p50: 400_000, p99: 1_250_000, p999: 2_000_000, max: 9, count: 3 };
        let nothing = Percentiles { p50: 0, p99: 0, p999: 0, max: 0, count: 0 };
        let totals = Progress {
            seconds: Duration::from_millis(2_500),
            rfqs: 3,
            quotes: 12,
            awards: 2,
            contracts_settled: 1,
            contracts_expired: 0,
            rejected: [("Busy", 2)].into(),
            reconnects: 0,
            resyncs: 0,
            acknowledged: 20,
            acks_lost: 0,
            unanswered: 4,
            blobs_checked: 0,
            blobs_failed: 0,
            latency_ns: Latencies {
                quote_ack: percentiles,
                rfq_ack: percentiles,
                window0_award: nothing,
                sending: nothing,
            },
        };
        Report { conditions: Conditions::of(&config()), totals }
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn report_and_progress_have_the_keys_that_others_rely_on() {
        let report = report();
        for json in [serde_json::to_value(&report), serde_json::to_value(&report.totals)] {
            let json = json.unwrap();
            for key in [
                "rfqs",
                "quotes",
                "awards",
                "contracts_settled",
                "contracts_expired",
                "reconnects",
                "acknowledged",
            ] {
                assert!(json[key].is_u64(), "{key}");
            }
            assert_eq!(json["seconds"], 2.5);
            assert_eq!(json["rejected"]["Busy"], 2);
            for latency in ["quote_ack", "rfq_ack", "window0_award"] {
                let found = keys(&json["latency_ns"][latency]);
                assert_eq!(found, ["count", "max", "p50", "p99", "p999"]);
            }
        }
    }

    #[test]
    fn a_progress_is_one_line() {
        let line = report().totals.to_string();
        assert!(!line.contains('\n'));
        assert!(line.contains("3 rfqs, 12 quotes, 2 awards, 1 settled"), "{line}");
        assert!(line.contains("rfq 0.400/1.250"), "{line}");
    }

    #[test]
    fn a_report_shows_conditions_incidents_and_percentiles() {
        let text = report().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("open loop over gavel/1: 10 buyers, 50 providers"), "{text}");
        assert_eq!(lines[2..4], ["  2 rejected: Busy", "  4 commands without an answer"]);
        let row = "quote acknowledged         0.400     1.250     2.000     0.000         3";
        assert_eq!(lines[5], row);
        assert_eq!(lines.len(), 9, "{text}");
    }
}
