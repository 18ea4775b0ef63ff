//! Checks that need no state: shape, sizes, roles.

use gavel_protocol::limits::{AMOUNT_MAX, FEE_PPM_MAX, QUANTITY_MAX, WINDOW_MAX, WORK_TIME_MAX};
use gavel_protocol::{Command, DurationNs, Micros, RejectReason, RfqTerms, Role, Roles, Signature};

/// Checks what can be checked by looking at the command alone.
///
/// # Errors
///
/// The reason of lowest number that applies.
pub fn pretrade(command: &Command) -> Result<(), RejectReason> {
    match command {
        Command::OpenRfq(c) => {
            unsigned(c.signature.as_deref())?;
            rfq_terms(&c.rfq)
        }
        Command::PlaceQuote(c) => {
            unsigned(c.signature.as_deref())?;
            amount(c.price)
        }
        Command::AmendQuote(c) => {
            unsigned(c.signature.as_deref())?;
            amount(c.price)
        }
        Command::SetStandingQuote(c) => {
            unsigned(c.signature.as_deref())?;
            amount(c.price)?;
            quantity(c.capacity)
        }
        Command::EnrolAccount(c) => amount(c.transaction_max),
        Command::Deposit(c) => amount(c.amount),
        Command::Found(c) if c.settings.fee_ppm > FEE_PPM_MAX => Err(RejectReason::InvalidSettings),
        Command::Found(_)
        | Command::CancelRfq(_)
        | Command::CancelQuote(_)
        | Command::CancelStandingQuote(_)
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
        | Command::Resume(_) => Ok(()),
    }
}

/// Checks that an agent with these roles may send this command.
///
/// # Errors
///
/// [`RejectReason::NotPermitted`].
pub fn permit(command: &Command, roles: Roles) -> Result<(), RejectReason> {
    let permitted = match command {
        Command::OpenRfq(_) | Command::CancelRfq(_) | Command::AcceptDelivery(_) => {
            roles.has(Role::Buyer)
        }
        Command::PlaceQuote(_)
        | Command::AmendQuote(_)
        | Command::CancelQuote(_)
        | Command::SetStandingQuote(_)
        | Command::CancelStandingQuote(_)
        | Command::StartWork(_)
        | Command::Deliver(_) => roles.has(Role::Provider),
        Command::EnrolAccount(_)
        | Command::EnrolAgent(_)
        | Command::ListCapability(_)
        | Command::Deposit(_)
        | Command::Halt(_)
        | Command::Reopen(_) => roles.has(Role::Operator),
        Command::Logon(_) => true,
        Command::Found(_)
        | Command::SessionLost(_)
        | Command::AdvanceTime(_)
        | Command::Resume(_) => false,
    };
    if permitted { Ok(()) } else { Err(RejectReason::NotPermitted) }
}

/// No scheme is verified yet, so a signature cannot be accepted: it would look as if it had been.
fn unsigned(signature: Option<&Signature>) -> Result<(), RejectReason> {
    match signature {
        None => Ok(()),
        Some(_) => Err(RejectReason::UnsupportedSignature),
    }
}

fn rfq_terms(terms: &RfqTerms) -> Result<(), RejectReason> {
    amount(terms.reserve)?;
    quantity(terms.quantity)?;
    let within = |time: DurationNs, most: DurationNs| time > DurationNs::ZERO && time <= most;
    if terms.window > WINDOW_MAX
        || !within(terms.delivery_within, WORK_TIME_MAX)
        || !within(terms.acceptance_within, WORK_TIME_MAX)
    {
        return Err(RejectReason::InvalidDuration);
    }
    match terms.reserve.times(terms.quantity) {
        Some(total) if total.raw() <= AMOUNT_MAX => Ok(()),
        Some(_) | None => Err(RejectReason::AmountOverflow),
    }
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
