//! How a combinatorial RFQ was cleared.

use gavel_protocol::{AgentId, Micros, PaymentRule, RfqCleared};
use serde_json::{Value, json};

/// Returns how much better another allocation could be at the most, if a bound is known.
fn gap(cleared: &RfqCleared) -> Option<Micros> {
    cleared.bound?.minus(cleared.surplus)
}

/// Returns how it was cleared, for people.
pub fn text(cleared: &RfqCleared) -> String {
    let RfqCleared { surplus, payment, winners, items, .. } = *cleared;
    let proof = match gap(cleared) {
        Some(Micros::ZERO) => "no allocation is better".to_owned(),
        Some(gap) => format!("another could be better by {gap} at the most"),
        None => "nothing is proven about others".to_owned(),
    };
    let paid = match payment {
        PaymentRule::PayAsBid => "as bid",
        PaymentRule::Vcg => "by VCG",
        PaymentRule::Core => "in the core",
    };
    let solver = match cleared.solver {
        Some(AgentId::EXCHANGE) => ", found by the exchange's solvers".into(),
        Some(solver) => format!(", found by {solver}"),
        None => String::new(),
    };
    format!(
        "cleared: {winners} bundles with {} items gain {surplus}{solver}; {proof}; paid {paid}",
        items.len()
    )
}

/// Returns how it was cleared, for machines.
pub fn json(cleared: &RfqCleared) -> Value {
    let RfqCleared { solver, surplus, bound, payment, winners, items, .. } = *cleared;
    json!({
        "solver": solver,
        "surplus_micros": surplus,
        "bound_micros": bound,
        "gap_micros": gap(cleared),
        "payment": payment,
        "winners": winners,
        "items": items,
    })
}
