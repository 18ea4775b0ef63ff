//! Checks that need no state: shape, sizes, roles.

use gavel_protocol::limits::{
    AMOUNT_MAX, BPS_MAX, BUNDLES_PER_COMMAND_MAX, BUNDLES_PER_RFQ_MAX, CLEARING_MAX,
    CURVE_POINTS_MAX, FEE_PPM_MAX, INVITED_MAX, ITEMS_MAX, LATENCY_MS_MAX, LOAD_MAX,
    MASS_QUOTE_LINES_MAX, QUANTITY_MAX, REPUTATION_BPS_MAX, WINDOW_MAX, WORK_TIME_MAX,
};
use gavel_protocol::{
    AgentId, BundleGroup, BundleTerms, Command, DurationNs, DutchTerms, Format, GroupRule, Item,
    Micros, Offer, OfferEnvelope, OpenRfq, PaymentRule, PriceBand, ProposeAllocation, QuoteBundles,
    RejectReason, RfqTerms, Role, Roles, SetStandingQuote,
};

/// Checks what can be checked by looking at the command alone.
///
/// # Errors
///
/// The reason of lowest number that applies.
pub fn pretrade(command: &Command) -> Result<(), RejectReason> {
    match command {
        Command::OpenRfq(c) => rfq(c),
        Command::PlaceQuote(c) => offer(&c.offer),
        Command::AmendQuote(c) => offer(&c.offer),
        Command::QuoteBundles(c) => bundles(c),
        Command::ProposeAllocation(c) => allocation(c),
        Command::TakeRfq(c) => {
            amount(c.limit)?;
            quantity(c.quantity)
        }
        Command::SetStandingQuote(c) => standing_quote(c),
        Command::MassQuote(c) if !(1..=MASS_QUOTE_LINES_MAX).contains(&c.lines.len()) => {
            Err(RejectReason::InvalidQuantity)
        }
        Command::SignEnvelope(c) => envelope(&c.envelope),
        Command::EnrolAccount(c) => amount(c.transaction_max),
        Command::Deposit(c) => amount(c.amount),
        Command::SetPriceBand(c) => c.band.map_or(Ok(()), band),
        Command::EnrolAgent(c) if c.roles.has(Role::Solver) && c.roles != Roles::SOLVER => {
            Err(RejectReason::InvalidSettings)
        }
        Command::Found(c) if c.settings.fee_ppm > FEE_PPM_MAX => Err(RejectReason::InvalidSettings),
        Command::Found(_)
        | Command::MassQuote(_)
        | Command::CancelRfq(_)
        | Command::CancelQuote(_)
        | Command::CancelStandingQuote(_)
        | Command::MassCancel(_)
        | Command::DeclineRfq(_)
        | Command::PickQuote(_)
        | Command::StartWork(_)
        | Command::Deliver(_)
        | Command::AcceptDelivery(_)
        | Command::EnrolAgent(_)
        | Command::ListCapability(_)
        | Command::Halt(_)
        | Command::Reopen(_)
        | Command::Logon(_)
        | Command::SessionLost(_)
        | Command::AdvanceTime(_)
        | Command::Resume(_)
        | Command::Upgrade(_) => Ok(()),
    }
}

/// Checks a standing quote, by itself or as a line of a mass quote.
///
/// # Errors
///
/// The reason of lowest number that applies.
pub fn standing_quote(quote: &SetStandingQuote) -> Result<(), RejectReason> {
    amount(quote.price)?;
    quantity(quote.capacity)?;
    latency(quote.latency_ms)
}

/// Checks that an agent with these roles may send this command.
///
/// # Errors
///
/// [`RejectReason::NotPermitted`].
pub fn permit(command: &Command, roles: Roles) -> Result<(), RejectReason> {
    let permitted = match command {
        Command::OpenRfq(_)
        | Command::CancelRfq(_)
        | Command::PickQuote(_)
        | Command::AcceptDelivery(_) => roles.has(Role::Buyer),
        Command::PlaceQuote(_)
        | Command::AmendQuote(_)
        | Command::QuoteBundles(_)
        | Command::CancelQuote(_)
        | Command::SetStandingQuote(_)
        | Command::CancelStandingQuote(_)
        | Command::MassQuote(_)
        | Command::MassCancel(_)
        | Command::SignEnvelope(_)
        | Command::DeclineRfq(_)
        | Command::TakeRfq(_)
        | Command::StartWork(_)
        | Command::Deliver(_) => roles.has(Role::Provider),
        Command::EnrolAccount(_)
        | Command::EnrolAgent(_)
        | Command::ListCapability(_)
        | Command::Deposit(_)
        | Command::SetPriceBand(_)
        | Command::Halt(_)
        | Command::Reopen(_) => roles.has(Role::Operator),
        Command::ProposeAllocation(_) => roles.has(Role::Solver),
        Command::Logon(_) => true,
        Command::Found(_)
        | Command::SessionLost(_)
        | Command::AdvanceTime(_)
        | Command::Resume(_)
        | Command::Upgrade(_) => false,
    };
    if permitted { Ok(()) } else { Err(RejectReason::NotPermitted) }
}

fn rfq(command: &OpenRfq) -> Result<(), RejectReason> {
    let terms = &command.rfq;
    amount(terms.reserve)?;
    quantity(terms.quantity)?;
    durations(command)?;
    if terms.bond_bps > BPS_MAX || terms.eligibility.reputation_min_bps > REPUTATION_BPS_MAX {
        return Err(RejectReason::InvalidSettings);
    }
    scoring(terms)?;
    if let Some(dutch) = &command.dutch {
        curve(dutch, terms)?;
    }
    if let Some(bundles) = &command.bundles {
        items(bundles, terms)?;
    }
    invited(command)?;
    format(command)?;
    payment(command)?;
    match terms.reserve.times(terms.quantity) {
        Some(total) if total.raw() <= AMOUNT_MAX => Ok(()),
        Some(_) | None => Err(RejectReason::AmountOverflow),
    }
}

fn durations(command: &OpenRfq) -> Result<(), RejectReason> {
    let terms = &command.rfq;
    let within = |time: DurationNs, most: DurationNs| time > DurationNs::ZERO && time <= most;
    if terms.window > WINDOW_MAX
        || terms.cutoff > terms.window
        || terms.pick_within > WINDOW_MAX
        || terms.start_within > terms.delivery_within
        || !within(terms.delivery_within, WORK_TIME_MAX)
        || !within(terms.acceptance_within, WORK_TIME_MAX)
        || command.bundles.as_ref().is_some_and(|b| !within(b.clearing_within, CLEARING_MAX))
    {
        return Err(RejectReason::InvalidDuration);
    }
    Ok(())
}

/// Checks that no score can overflow, whatever is quoted: each part stays within [`AMOUNT_MAX`].
fn scoring(terms: &RfqTerms) -> Result<(), RejectReason> {
    let fits = |part: Option<Micros>| part.is_some_and(|part| part.raw() <= AMOUNT_MAX);
    let scoring = terms.scoring;
    if scoring.latency_per_ms < Micros::ZERO
        || scoring.reputation_per_bps < Micros::ZERO
        || !fits(scoring.latency(LATENCY_MS_MAX))
        || !fits(scoring.reputation(0))
    {
        return Err(RejectReason::InvalidScoring);
    }
    Ok(())
}

fn curve(dutch: &DutchTerms, terms: &RfqTerms) -> Result<(), RejectReason> {
    let curve = &dutch.curve;
    let rises = curve.is_sorted_by(|a, b| a.after < b.after && a.price <= b.price);
    let ends = (curve.first(), curve.last());
    let (Some(first), Some(last)) = ends else { return Err(RejectReason::InvalidCurve) };
    if !(2..=CURVE_POINTS_MAX).contains(&curve.len())
        || !rises
        || first.price <= Micros::ZERO
        || last.price != terms.reserve
        || last.after > terms.window
        || dutch.exclusive.is_some_and(|first| first.beatable_by_bps >= BPS_MAX)
    {
        return Err(RejectReason::InvalidCurve);
    }
    Ok(())
}

/// Checks that the items are within their limits, and their reserves those of the RFQ.
fn items(bundles: &BundleTerms, terms: &RfqTerms) -> Result<(), RejectReason> {
    let fits = |item: &Item| {
        amount(item.reserve).is_ok() && quantity(item.quantity).is_ok() && item.load <= LOAD_MAX
    };
    if !(1..=ITEMS_MAX).contains(&bundles.items.len())
        || !bundles.items.iter().all(fits)
        || bundles.reserve() != Some(terms.reserve)
    {
        return Err(RejectReason::InvalidItems);
    }
    Ok(())
}

fn invited(command: &OpenRfq) -> Result<(), RejectReason> {
    let invited = &command.invited;
    let twice = |(index, agent): (usize, &AgentId)| invited[..index].contains(agent);
    if invited.len() > INVITED_MAX
        || invited.iter().enumerate().any(twice)
        || (command.rfq.close_early && invited.is_empty())
    {
        return Err(RejectReason::InvalidInvitation);
    }
    Ok(())
}

/// Checks that the format goes with the other terms.
fn format(command: &OpenRfq) -> Result<(), RejectReason> {
    let terms = &command.rfq;
    let at_once = terms.window == DurationNs::ZERO;
    let combinatorial = terms.format == Format::Combinatorial;
    let fits = match terms.format {
        Format::FirstPrice | Format::SecondPrice => {
            terms.pick_within == DurationNs::ZERO && command.dutch.is_none()
        }
        // Nothing but the price counts, standing quotes do not take, and nobody quotes.
        Format::Dutch => {
            command.dutch.is_some()
                && !at_once
                && !terms.admit_standing
                && !terms.close_early
                && terms.pick_within == DurationNs::ZERO
                && terms.cutoff == DurationNs::ZERO
                && terms.scoring == gavel_protocol::Scoring::default()
        }
        // The book is sealed quotes, which stay as they are while the buyer looks at it.
        Format::BuyersChoice => {
            command.dutch.is_none()
                && !at_once
                && !terms.admit_standing
                && !terms.split
                && terms.pick_within > DurationNs::ZERO
        }
        // What competes are bundles, each for its items as a whole, and no bond is put up for those of
        // which only some can win.
        Format::Combinatorial => {
            command.dutch.is_none()
                && !at_once
                && !terms.admit_standing
                && !terms.split
                && terms.quantity == 1
                && terms.pick_within == DurationNs::ZERO
                && terms.bond_bps == 0
        }
    };
    let fits = fits && combinatorial == command.bundles.is_some();
    // Standing quotes are for everybody: nobody is invited with one. And none can be asked for a bond
    // at the close: whether its account has the money would tell of the sealed quotes it has bonds up
    // for.
    let goes_with_standing = command.invited.is_empty() && terms.bond_bps == 0;
    let allowed = fits && (goes_with_standing || !terms.admits_standing());
    if allowed { Ok(()) } else { Err(RejectReason::FormatNotAllowed) }
}

/// Checks that payments cannot be more than is held.
fn payment(command: &OpenRfq) -> Result<(), RejectReason> {
    match &command.bundles {
        Some(bundles) if bundles.payment == PaymentRule::Vcg && bundles.all_or_none => {
            Err(RejectReason::PaymentRuleNotAllowed)
        }
        Some(_) | None => Ok(()),
    }
}

fn bundles(command: &QuoteBundles) -> Result<(), RejectReason> {
    for bundle in &command.bundles {
        amount(bundle.price)?;
    }
    if !(1..=BUNDLES_PER_COMMAND_MAX).contains(&command.bundles.len()) {
        return Err(RejectReason::InvalidQuantity);
    }
    if let BundleGroup::New(group) = command.group
        && let GroupRule::Or(capacity) = group.rule
        && !(1..=LOAD_MAX).contains(&capacity)
    {
        return Err(RejectReason::InvalidQuantity);
    }
    for bundle in &command.bundles {
        latency(bundle.latency_ms)?;
    }
    match command.bundles.iter().any(|bundle| bundle.items.is_empty()) {
        true => Err(RejectReason::InvalidBundle),
        false => Ok(()),
    }
}

/// Checks that no list is longer than could be of use.
fn allocation(proposed: &ProposeAllocation) -> Result<(), RejectReason> {
    if proposed.winners.len() > ITEMS_MAX {
        return Err(RejectReason::InfeasibleAllocation);
    }
    let prices = proposed.prices.as_ref();
    if prices.is_some_and(|p| p.items.len() > ITEMS_MAX || p.groups.len() > BUNDLES_PER_RFQ_MAX) {
        return Err(RejectReason::FalseBound);
    }
    if proposed.payments.len() > ITEMS_MAX {
        return Err(RejectReason::InvalidPayments);
    }
    Ok(())
}

fn offer(offer: &Offer) -> Result<(), RejectReason> {
    amount(offer.price)?;
    quantity(offer.quantity)?;
    latency(offer.latency_ms)
}

fn envelope(envelope: &OfferEnvelope) -> Result<(), RejectReason> {
    amount(envelope.price_min)?;
    quantity(envelope.capacity_max)
}

fn band(band: PriceBand) -> Result<(), RejectReason> {
    amount(band.low).and(amount(band.high)).map_err(|_| RejectReason::InvalidBand)?;
    if band.low > band.high { Err(RejectReason::InvalidBand) } else { Ok(()) }
}

fn latency(latency_ms: u32) -> Result<(), RejectReason> {
    if latency_ms > LATENCY_MS_MAX { Err(RejectReason::InvalidDuration) } else { Ok(()) }
}

fn amount(amount: Micros) -> Result<(), RejectReason> {
    if amount > Micros::ZERO && amount.raw() <= AMOUNT_MAX {
        return Ok(());
    }
    Err(RejectReason::InvalidAmount)
}

fn quantity(quantity: u32) -> Result<(), RejectReason> {
    if (1..=QUANTITY_MAX).contains(&quantity) {
        return Ok(());
    }
    Err(RejectReason::InvalidQuantity)
}
