//! What machines may know of the exchange. Nothing here moves when a sealed quote is placed, amended
//! or canceled: such quotes are counted at their RFQ's close.

use std::fmt;

use gavel_protocol::CloseReason;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters and gauges that the events and the connections move.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub rfqs_opened: Counter,
    pub rfqs_closed: Counter,
    pub quotes_ranked: Counter,
    pub awards: Counter,
    pub contracts_settled: Counter,
    pub contracts_expired: Counter,
    pub contracts_taken_over: Counter,
    pub standing_quotes_set: Counter,
    pub sessions: Gauge,
    pub connections: Gauge,
    pub journal_failed: Gauge,
    /// Set when it is asked for.
    pub journal_waiting: Gauge,
    closed: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Counts a connection that the edge has closed.
    pub fn closed(&self, reason: CloseReason) {
        self.closed.get_or_create(&[("reason", reason.info().name)]).inc();
    }

    /// Returns what counts what has happened in the market, always in the same order.
    pub fn history(&self) -> [&Counter; 8] {
        [
            &self.rfqs_opened,
            &self.rfqs_closed,
            &self.quotes_ranked,
            &self.awards,
            &self.contracts_settled,
            &self.contracts_expired,
            &self.contracts_taken_over,
            &self.standing_quotes_set,
        ]
    }

    /// Returns the registry that [`render`] writes out.
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("gavel");
        for (name, help, counter) in [
            ("rfqs_opened", "RFQs that were opened", &self.rfqs_opened),
            ("rfqs_closed", "RFQs that were closed", &self.rfqs_closed),
            ("quotes_ranked", "Quotes that competed, counted at the close", &self.quotes_ranked),
            ("awards", "Contracts that were concluded", &self.awards),
            ("contracts_settled", "Contracts that were paid", &self.contracts_settled),
            ("contracts_expired", "Contracts that ended undelivered", &self.contracts_expired),
            (
                "contracts_taken_over",
                "Contracts that went on elsewhere",
                &self.contracts_taken_over,
            ),
            ("standing_quotes_set", "Standing quotes that were set", &self.standing_quotes_set),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("sessions", "Sessions, with or without a connection", &self.sessions),
            ("connections", "Connections, logged on or not", &self.connections),
            ("journal_failed", "1 once the journal cannot commit any more", &self.journal_failed),
            (
                "journal_waiting_seconds",
                "For how long the commit that is under way has been, in whole seconds",
                &self.journal_waiting,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "connections_closed",
            "Connections closed by reason",
            self.closed.clone(),
        );
        registry
    }
}

/// Writes every metric in the Prometheus text format.
pub(crate) fn render(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}
