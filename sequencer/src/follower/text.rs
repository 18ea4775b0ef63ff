//! Events as JSON.

use gavel_protocol::{Event, Ranked, RfqId};
use serde::{Deserialize, Serialize};

/// What an event's JSON consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// The name of the event.
    pub(crate) kind: &'a str,
    /// What it says: an object.
    pub(crate) body: &'a str,
    /// The RFQ that it is about, if it is about one.
    pub(crate) rfq: Option<&'a str>,
}

/// Returns the canonical form of an event: its JSON without spaces, the fields in the order in which they
/// are declared.
pub fn event_text(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is a JSON value")
}

/// Returns the canonical form of an entry of an RFQ's ranked list, as an event of its own: so a provider
/// can be shown its own place and reason without those of the others.
pub fn ranked_text(rfq: RfqId, ranked: &Ranked) -> String {
    #[derive(Serialize)]
    enum Entry<'a> {
        Ranked {
            rfq: RfqId,
            #[serde(flatten)]
            ranked: &'a Ranked,
        },
    }
    serde_json::to_string(&Entry::Ranked { rfq, ranked }).expect("an entry is a JSON value")
}

impl<'a> Parts<'a> {
    /// Takes a canonical form apart.
    pub(crate) fn of(text: &'a str) -> Self {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            rfq: Option<&'a str>,
        }
        let whole = text.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}'));
        let parts = whole.and_then(|whole| whole.split_once("\":"));
        let (kind, body) = parts.expect("an event is written under its name");
        let Body { rfq } = serde_json::from_str(body).expect("what an event says is an object");
        Self { kind, body, rfq }
    }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::{
        AgentId, Halted, LossReason, Micros, NoQuoteReason, QuoteId, QuoteRef, RankedResult,
        RfqDeclined,
    };

    use super::*;

    #[test]
    fn the_canonical_form_stays_as_it_is() {
        let (rfq, provider) = (RfqId::new(1), AgentId::new(2));
        let declined = RfqDeclined { rfq, provider, reason: NoQuoteReason::NoCapacity };
        assert_eq!(
            event_text(&Event::RfqDeclined(declined)),
            "{\"RfqDeclined\":{\"rfq\":\"rfq_0000000000000001\",\
             \"provider\":\"agent_0000000000000002\",\"reason\":\"no_capacity\"}}"
        );
        let ranked = Ranked {
            provider,
            quote: QuoteRef::Sealed(QuoteId::new(3)),
            price: Micros::new(4),
            score: Micros::new(5),
            latency_ms: 6,
            reputation_bps: 7,
            rank: 2,
            result: RankedResult::Lost(LossReason::Cover),
        };
        assert_eq!(
            ranked_text(rfq, &ranked),
            "{\"Ranked\":{\"rfq\":\"rfq_0000000000000001\",\
             \"provider\":\"agent_0000000000000002\",\
             \"quote\":{\"sealed\":\"quote_0000000000000003\"},\"price\":\"4\",\"score\":\"5\",\
             \"latency_ms\":6,\"reputation_bps\":7,\"rank\":2,\"result\":{\"lost\":\"Cover\"}}}"
        );
    }

    #[test]
    fn a_text_comes_apart_where_it_was_put_together() {
        let (rfq, provider) = (RfqId::new(1), AgentId::new(2));
        let declined = RfqDeclined { rfq, provider, reason: NoQuoteReason::NoCapacity };
        let text = event_text(&Event::RfqDeclined(declined));
        let Parts { kind, body, rfq } = Parts::of(&text);
        assert_eq!((kind, rfq), ("RfqDeclined", Some("rfq_0000000000000001")));
        assert_eq!(format!("{{\"{kind}\":{body}}}"), text);
        let text = event_text(&Event::Halted(Halted { capability: None }));
        let body = "{\"capability\":null}";
        assert_eq!(Parts::of(&text), Parts { kind: "Halted", body, rfq: None });
        // What is further inside is not what it is about.
        let inside = "{\"Repeated\":{\"outcome\":{\"rfq\":{\"rfq\":\"rfq_1\"}}}}";
        assert_eq!(Parts::of(inside).rfq, None);
    }
}
