//! At which price a quote that lost would have won.

use gavel_protocol::{
    Disclosure, Format, LossReason, Micros, QuoteRef, Ranked, RankedResult, RfqTerms,
};

use crate::commands::explain::history::History;
use crate::commands::explain::view::{Role, View};

/// Returns the highest price at which a quote that lost would have won, as far as `view` may know
/// it: what the disclosure tells of a first price, for a provider, and never more than the clearing
/// price, so that nothing is told of the reserve.
pub fn price_to_win(view: &View<'_>, entry: &Ranked) -> Option<Micros> {
    let terms = &view.opening().opened.terms;
    let price = winning_price(view.history(), terms, entry)?;
    match view.role {
        Role::Operator | Role::Buyer => Some(price),
        // By second price it would tell what the winner had asked for.
        Role::Provider if terms.format == Format::FirstPrice => match terms.disclosure {
            Disclosure::ClearingPrice => Some(price.min(view.clearing_price()?)),
            Disclosure::Nothing => None,
        },
        Role::Provider | Role::Public => None,
    }
}

/// Returns the highest price at which a quote would have won, all else being equal. Known where one
/// wins everything, and the quote lost by its price alone.
fn winning_price(history: &History, terms: &RfqTerms, entry: &Ranked) -> Option<Micros> {
    if terms.split || !matches!(terms.format, Format::FirstPrice | Format::SecondPrice) {
        return None;
    }
    let (RankedResult::Lost(reason) | RankedResult::Standby(reason)) = entry.result else {
        return None;
    };
    match reason {
        LossReason::Cover | LossReason::Outscored | LossReason::Tied => {}
        // A standing quote may lack more than the price.
        LossReason::AboveReserve if matches!(entry.quote, QuoteRef::Sealed(_)) => {}
        LossReason::AboveReserve
        | LossReason::RfqCanceled
        | LossReason::SelfTrade
        | LossReason::QuoteExpired
        | LossReason::ProviderSuspended
        | LossReason::Ineligible
        | LossReason::ContractLimit
        | LossReason::Unfillable
        | LossReason::BundleLost
        | LossReason::GroupUsedUp
        | LossReason::RfqPassed
        | LossReason::DoneAway => return None,
    }
    let winner = history.ranked.iter().find(|entry| entry.result == RankedResult::Won);
    let Some(winner) = winner else { return Some(terms.reserve) };
    let extra = entry.score.minus(entry.price)?;
    let equal = winner.score.minus(extra)?;
    let price = match comes_before(history, entry, winner) {
        true => equal,
        false => equal.minus(Micros::new(1))?,
    };
    (price > Micros::ZERO).then(|| price.min(terms.reserve))
}

/// Returns whether a quote would win a tie. The place of a standing quote is not known here: then
/// it takes one micro less to be sure.
fn comes_before(history: &History, entry: &Ranked, winner: &Ranked) -> bool {
    let place = |quote: QuoteRef| match quote {
        QuoteRef::Sealed(quote) => history.place(quote),
        QuoteRef::Standing | QuoteRef::Take | QuoteRef::Bundle(_) => None,
    };
    place(entry.quote).zip(place(winner.quote)).is_some_and(|(entry, winner)| entry < winner)
}
