//! What happened, in sentences.

use gavel_protocol::{
    Acceptance, AgentId, AllocationProposed, Awarded, BundleAward, BundleLost, CancelCause,
    CapabilityId, Event, Format, GroupRule, LedgerAccount, Micros, Movement, Offer, PaymentRule,
    Ranked, RankedResult, RfqCleared, RfqClosed, RfqOpened, RfqResult, RfqTerms, StandbyEnded,
};

use crate::commands::explain::history::What;
use crate::commands::explain::names::Names;
use crate::commands::explain::view::View;

/// Returns the name of what happened, for machines, and a sentence for people.
pub fn moment(what: &What, view: &View<'_>, names: &Names) -> Option<(&'static str, String)> {
    match what {
        What::Refused { asker, command, reason } => {
            let (name, code, meaning) = (names.agent(*asker), reason.code(), reason.info().meaning);
            Some(("rejected", format!("{command} of {name} was rejected ({code}): {meaning}")))
        }
        What::Event(event) => said(event, view, names),
    }
}

fn said(event: &Event, view: &View<'_>, names: &Names) -> Option<(&'static str, String)> {
    let agent = |id| names.agent(id);
    Some(match event {
        Event::RfqOpened(e) => ("opened", opened(e, view, names)),
        Event::ProviderInvited(e) => ("invited", format!("{} is invited", agent(e.provider))),
        Event::RfqDeclined(e) => {
            ("declined", format!("{} declines: {:?}", agent(e.provider), e.reason))
        }
        Event::QuotePlaced(e) => {
            ("quoted", format!("{} quotes {}", agent(e.provider), offer(&e.offer)))
        }
        Event::BundlesQuoted(e) => {
            let group = match e.rule {
                GroupRule::Xor => "of which at most one may win".into(),
                GroupRule::Or(capacity) => format!("which share a capacity of {capacity}"),
            };
            let (provider, quote, bundles) = (agent(e.provider), e.quote, e.bundles);
            ("bundles_quoted", format!("{provider} quotes {bundles} bundles, {group}: {quote}"))
        }
        Event::BundleQuoted(e) => {
            let (bundle, offer) = (e.bundle.number, &e.offer);
            let (items, price, latency_ms) = (offer.items, offer.price, offer.latency_ms);
            let text = format!("bundle {bundle}: items {items} for {price} within {latency_ms} ms");
            ("bundle_quoted", format!("{} quotes {text}", agent(e.provider)))
        }
        Event::ClearingStarted(e) => {
            let (bundles, groups) = (e.bundles, e.groups);
            let text = format!("it takes no more quotes: {bundles} bundles in {groups} groups");
            ("clearing", format!("{text} can win, and an allocation is sought"))
        }
        Event::AllocationProposed(e) => ("proposed", proposed(e, names)),
        Event::RfqCleared(e) => ("cleared", cleared(e, names)),
        Event::BundleLost(e) => ("bundle_lost", bundle_lost(e, names)),
        Event::QuoteAmended(e) => {
            let place = if e.kept_place { "keeping its place" } else { "taking a new place" };
            let text = format!("{} now quotes {}, {place}", agent(e.provider), offer(&e.offer));
            ("amended", text)
        }
        Event::QuoteCanceled(e) => {
            let text = format!("the quote of {} is canceled{}", agent(e.provider), cause(e.cause));
            ("quote_canceled", text)
        }
        Event::BookShown(e) => {
            ("book_shown", format!("the book of {} quotes is open to the buyer", e.ranked))
        }
        Event::QuotePicked(e) => ("picked", format!("the buyer picks {}", e.quote)),
        Event::RfqTaken(e) => {
            let (price, taken, left) = (e.price, units(e.quantity), e.remaining);
            ("taken", format!("{taken} taken at {price} each, {left} left"))
        }
        Event::RfqCanceled(e) => ("canceled", format!("{} cancels", agent(e.buyer))),
        Event::RfqClosed(e) => ("closed", closed(e, view)),
        Event::Awarded(e) => ("awarded", awarded(e, names)),
        Event::WorkStarted(e) => {
            ("started", format!("{} starts to work on {}", agent(e.parties.provider), e.contract))
        }
        Event::Delivered(e) => {
            ("delivered", format!("{} delivers {}", agent(e.parties.provider), e.contract))
        }
        Event::ContractVerified(e) => {
            let who = match e.acceptance {
                Acceptance::Buyer => agent(e.parties.buyer),
                Acceptance::Silence => "silence".into(),
            };
            ("verified", format!("{who} accepts {}", e.contract))
        }
        Event::ContractSettled(e) => {
            let (provider, paid, fee) = (agent(e.parties.provider), e.released, e.fee);
            let penalty = match e.penalty {
                Micros::ZERO => String::new(),
                penalty => format!(", {penalty} goes back because it was late"),
            };
            let text = format!("{} is settled: {provider} gets {paid}, fee {fee}", e.contract);
            ("settled", text + &penalty)
        }
        Event::ContractExpired(e) => {
            let (provider, back) = (agent(e.parties.provider), e.refunded);
            let contract = e.contract;
            let text = format!("{contract} expires: {provider} did not deliver, {back} goes back");
            ("expired", format!("{text}, and {} of the bond", e.compensation))
        }
        Event::ContractTakenOver(e) => {
            let (provider, successor) = (agent(e.parties.provider), agent(e.successor));
            let text = format!("{provider} fails, and {successor} takes {} over", e.contract);
            ("taken_over", format!("{text}; the bond pays {}", e.compensation))
        }
        Event::StandbyEnded(e) => ("standby_ended", standby_ended(e, names)),
        Event::Halted(e) => ("halted", format!("{} is halted", reach(e.capability))),
        Event::Reopened(e) => ("reopened", format!("{} is reopened", reach(e.capability))),
        Event::Resumed(e) => {
            let seconds = seconds(e.gap.nanos());
            ("resumed", format!("the exchange was away: deadlines move by {seconds} s"))
        }
        Event::Upgraded(e) => {
            ("upgraded", format!("the rules are those of version {}", e.rules_version))
        }
        Event::Founded(_)
        | Event::BundlesPosed(_)
        | Event::AccountEnrolled(_)
        | Event::AgentEnrolled(_)
        | Event::CapabilityListed(_)
        | Event::Deposited(_)
        | Event::PriceBandSet(_)
        | Event::LoggedOn(_)
        | Event::SessionEnded(_)
        | Event::StandingQuoteSet(_)
        | Event::StandingQuoteCanceled(_)
        | Event::MassQuoted(_)
        | Event::LineRejected(_)
        | Event::MassCanceled(_)
        | Event::EnvelopeSigned(_)
        | Event::CancelKept(_)
        | Event::ReputationChanged(_)
        | Event::ProviderSuspended(_)
        | Event::Moved(_)
        | Event::Rejected(_)
        | Event::Repeated(_)
        | Event::TimeAdvanced(_) => return None,
    })
}

fn proposed(proposed: &AllocationProposed, names: &Names) -> String {
    let (solver, surplus) = (solver(proposed.solver, names), proposed.surplus);
    let bound = match proposed.bound {
        Some(bound) if bound == surplus => "; no allocation gains more".into(),
        Some(bound) => format!("; no allocation gains more than {bound}"),
        None => String::new(),
    };
    format!("{solver} propose an allocation that gains the buyer {surplus}{bound}")
}

fn cleared(cleared: &RfqCleared, names: &Names) -> String {
    let by = cleared.solver.map_or_else(
        || "the exchange's own first answer stands".into(),
        |id| format!("found by {}", solver(id, names)),
    );
    let gap = match cleared.bound {
        Some(bound) if bound == cleared.surplus => "it is proven to be the best".into(),
        Some(bound) => format!("no other gains more than {bound}"),
        None => "no bound is known".into(),
    };
    let paid = match cleared.payment {
        PaymentRule::PayAsBid => "winners are paid what they ask",
        PaymentRule::Vcg => "winners are paid by VCG: what they ask, and what they add to the gain",
        PaymentRule::Core => "winners are paid the point of the core nearest to VCG",
    };
    let (winners, surplus) = (cleared.winners, cleared.surplus);
    let items = match cleared.items.is_empty() {
        true => "no item".into(),
        false => format!("items {}", cleared.items),
    };
    format!("{winners} bundles win {items} and gain the buyer {surplus}, {by}; {gap}; {paid}")
}

fn bundle_lost(lost: &BundleLost, names: &Names) -> String {
    let (provider, number) = (names.agent(lost.provider), lost.bundle.number);
    let mut text = format!("bundle {number} of {provider} loses: {}", lost.reason.info().meaning);
    if !lost.lost_on.is_empty() {
        text = format!("{text} (items {})", lost.lost_on);
    }
    match lost.price_to_win {
        Some(price) => format!("{text}; it would have won below {price}"),
        None => text,
    }
}

fn solver(solver: AgentId, names: &Names) -> String {
    match solver {
        AgentId::EXCHANGE => "the exchange's solvers".into(),
        solver => names.agent(solver),
    }
}

/// Returns what a contract for a bundle rests on.
fn bundle(bundle: &BundleAward, price: Micros) -> String {
    let BundleAward { items, gap, payment_high, .. } = *bundle;
    let mut text = format!("items {items}");
    match gap {
        Some(Micros::ZERO) => text += ", by the best allocation there is",
        Some(gap) => text = format!("{text}, by an allocation within {gap} of the best"),
        None => {}
    }
    if payment_high != price {
        text = format!("{text}; by the rule it could be up to {payment_high}");
    }
    text
}

fn opened(opened: &RfqOpened, view: &View<'_>, names: &Names) -> String {
    let terms = &opened.terms;
    let buyer = names.agent(opened.buyer);
    let window = seconds(terms.window.nanos());
    let (what, each) = match &view.opening().command.bundles {
        Some(bundles) => (items(bundles.items.len()), "in all"),
        None => (units(terms.quantity), "each"),
    };
    let mut text = format!("{buyer} asks for {what}, for {window} s");
    if view.shows_all_terms() {
        text = format!("{text}, at {} {} {each} at the most", terms.reserve, terms.currency);
    }
    match view.opening().command.signature {
        Some(_) => text + ", signed",
        None => text,
    }
}

fn offer(offer: &Offer) -> String {
    let mut text = format!("{} within {} ms", offer.price, offer.latency_ms);
    if offer.all_or_none {
        text = format!("{text} for {} or none", units(offer.quantity));
    }
    match offer.standby_until {
        Some(_) => text + ", and would stand by",
        None => text,
    }
}

fn closed(closed: &RfqClosed, view: &View<'_>) -> String {
    let result = match closed.result {
        RfqResult::Awarded if view.opening().command.bundles.is_some() => {
            format!("it closes: {} awarded", items(closed.awarded as usize))
        }
        RfqResult::Awarded => format!("it closes: {} awarded", units(closed.awarded)),
        RfqResult::Passed => "it closes: nothing is awarded".into(),
        RfqResult::Canceled => "it is over: its buyer has canceled it".into(),
    };
    match view.clearing_price() {
        Some(price) => format!("{result}, clearing price {price}"),
        None => result,
    }
}

fn awarded(awarded: &Awarded, names: &Names) -> String {
    let Awarded { contract, parties, price, quantity, total, currency, bond, .. } = *awarded;
    let provider = names.agent(parties.provider);
    let what = match &awarded.bundle {
        Some(awarded) => bundle(awarded, price),
        None => format!("{} at {price} each", units(quantity)),
    };
    let mut text = format!("{provider} is awarded {what}: {contract} over {total} {currency}");
    if bond > Micros::ZERO {
        text = format!("{text}, bond {bond}");
    }
    match awarded.takes_over {
        Some(failed) => format!("{text}, in place of {failed}"),
        None => text,
    }
}

fn standby_ended(ended: &StandbyEnded, names: &Names) -> String {
    let provider = names.agent(ended.provider);
    match ended.reason {
        Some(reason) => {
            format!("{provider} need not stand by any longer: {}", reason.info().meaning)
        }
        None => format!("{provider} takes over"),
    }
}

fn cause(cause: CancelCause) -> &'static str {
    match cause {
        CancelCause::Agent => "",
        CancelCause::SessionLost => ", its session was lost",
        CancelCause::Expired => ", its validity has ended",
        CancelCause::UsedUp => ", it is used up",
        CancelCause::MassCancel => " with all others",
    }
}

fn reach(capability: Option<CapabilityId>) -> String {
    capability.map_or_else(|| "the exchange".into(), |capability| capability.to_string())
}

fn units(quantity: u32) -> String {
    if quantity == 1 { "1 unit".into() } else { format!("{quantity} units") }
}

fn items(count: usize) -> String {
    if count == 1 { "1 item".into() } else { format!("{count} items") }
}

/// Returns nanoseconds as seconds, exactly to the millisecond.
pub fn seconds(nanos: u64) -> String {
    let millis = nanos / 1_000_000;
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Returns the rule by which an RFQ is decided, in words.
pub fn rule(terms: &RfqTerms) -> String {
    let scoring = &terms.scoring;
    let score = match (scoring.latency_per_ms, scoring.reputation_per_bps) {
        (Micros::ZERO, Micros::ZERO) => "The score is the price.".into(),
        (latency, reputation) => format!(
            "The score is the price, {latency} per millisecond of latency and {reputation} per \
             basis point of reputation below 10,000."
        ),
    };
    let split = match terms.split {
        true => {
            " Units go to quotes by score, and each winner gets what it can do of what is left."
        }
        false => "",
    };
    match terms.format {
        Format::FirstPrice => format!(
            "First price: the lowest score wins and is paid what it asked. {score} Ties go to the \
             earlier place.{split}"
        ),
        Format::SecondPrice => format!(
            "Second price: the lowest score wins and is paid the price at which its score would \
             equal that of the best losing unit of another account; without one, the reserve. \
             {score} Ties go to the earlier place.{split}"
        ),
        Format::Dutch => {
            "Dutch: the price rises along a public curve. Whoever takes gets the price \
                          of that moment; the rest waits for the next."
                .into()
        }
        Format::Combinatorial => format!(
            "Combinatorial: those bundles win together that gain the buyer most, the reserves of \
             what is awarded less the scores. {score}"
        ),
        Format::BuyersChoice => format!(
            "Buyer's choice: the book is shown to the buyer at the close, in the order of scores, \
             and it picks. {score}"
        ),
    }
}

/// Returns what became of a quote: for machines, for people.
pub fn result(entry: &Ranked) -> (&'static str, String) {
    match entry.result {
        RankedResult::Won => ("won", "won".into()),
        RankedResult::Lost(reason) => ("lost", format!("lost: {}", reason.info().meaning)),
        RankedResult::Standby(reason) => {
            ("standby", format!("stood by: {}", reason.info().meaning))
        }
        RankedResult::Shown => ("shown", "waits for the buyer's pick".into()),
        RankedResult::Declined(reason) => ("declined", format!("declined: {reason:?}")),
    }
}

/// Returns a line of the ledger.
pub fn movement(movement: &Movement, names: &Names) -> String {
    let Movement { kind, from, to, amount, currency } = movement;
    let bucket = |of: &LedgerAccount| format!("{} {:?}", names.account(of.account), of.bucket);
    format!("{kind:?} {amount} {currency}: {} to {}", bucket(from), bucket(to))
}
