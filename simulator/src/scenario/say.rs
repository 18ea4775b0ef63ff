//! Events as text. What a command's sender gets as its direct answer is not said, unless it is a
//! rejection: a scenario shows what followed.

use std::collections::HashMap;
use std::fmt::Write;

use gavel_protocol::{
    Acceptance, AccountId, AgentId, Breakdown, BundleAward, BundlesPosed, CancelCause,
    CapabilityId, ContractId, Event, Micros, MovementKind, PaymentRule, PosedBundle, Ranked,
    RankedResult, RfqId, RfqResult,
};

/// The names of what a scenario made.
#[derive(Default)]
pub(super) struct Names {
    pub(super) accounts: HashMap<AccountId, String>,
    pub(super) agents: HashMap<AgentId, String>,
    pub(super) capabilities: HashMap<CapabilityId, String>,
    pub(super) rfqs: HashMap<RfqId, String>,
    pub(super) contracts: HashMap<ContractId, RfqId>,
    /// The label of the RFQ that is being opened.
    pub(super) rfq_pending: Option<String>,
    /// The name of the agent that is logging on.
    pub(super) session_pending: Option<String>,
}

/// What followed from one command.
#[derive(Clone, Copy)]
pub(super) struct Followed<'a> {
    pub(super) events: &'a [Event],
    pub(super) ranking: &'a [Ranked],
    pub(super) posed: &'a [PosedBundle],
}

/// Appends what followed from one command.
pub(super) fn say(names: &Names, what: &str, followed: Followed<'_>, out: &mut String) {
    let Followed { events, ranking: mut rest, mut posed } = followed;
    for event in events {
        if let Event::BundlesPosed(e) = event {
            let (bundles, after) = posed.split_at(e.bundles as usize);
            posed = after;
            say_posed(names, e, bundles, out);
        } else if let Event::RfqClosed(closed) = event {
            let (ranked, after) = rest.split_at(closed.ranked as usize);
            rest = after;
            say_close(names, closed.rfq, closed.result, ranked, out);
        } else if let Event::BookShown(shown) = event {
            let (ranked, after) = rest.split_at(shown.ranked as usize);
            rest = after;
            say_book(names, shown.rfq, ranked, out);
        } else if let Some(line) = line(names, what, event) {
            writeln!(out, "{line}").expect("a String takes everything");
        }
    }
}

/// Says what solvers are asked: each bundle by its number.
fn say_posed(names: &Names, posed: &BundlesPosed, bundles: &[PosedBundle], out: &mut String) {
    let rfq = names.rfq(posed.rfq);
    for (number, bundle) in (posed.first..).zip(bundles) {
        let PosedBundle { items, score, group, .. } = bundle;
        writeln!(out, "posed {rfq} {number} items={items} score={score} group={group}")
            .expect("a String takes everything");
    }
}

fn bundle_line(names: &Names, event: &Event) -> Option<String> {
    let known = |bound: Option<Micros>| bound.map_or("none".to_string(), |bound| bound.to_string());
    if let Event::ClearingStarted(e) = event {
        let (rfq, bundles, groups) = (names.rfq(e.rfq), e.bundles, e.groups);
        return Some(format!("clearing {rfq} bundles={bundles} groups={groups}"));
    }
    if let Event::AllocationProposed(e) = event {
        let (rfq, solver, bound) = (names.rfq(e.rfq), names.solver(e.solver), known(e.bound));
        return Some(format!("proposed {rfq} {solver} surplus={} bound={bound}", e.surplus));
    }
    if let Event::RfqCleared(e) = event {
        let solver = e.solver.map_or("own", |solver| names.solver(solver));
        let (rfq, bound, payment) = (names.rfq(e.rfq), known(e.bound), rule(e.payment));
        let items = if e.items.is_empty() { "-".into() } else { e.items.to_string() };
        return Some(format!(
            "cleared {rfq} surplus={} bound={bound} by={solver} payment={payment} items={items}",
            e.surplus
        ));
    }
    let Event::BundleLost(e) = event else { return None };
    let (rfq, provider) = (names.rfq(e.rfq), names.agent(e.provider));
    let mut line = format!("lost {rfq} {provider}/{}", e.bundle.number);
    write!(line, " {}", snake(e.reason.info().name)).expect("a String takes everything");
    if !e.lost_on.is_empty() {
        write!(line, " on={}", e.lost_on).expect("a String takes everything");
    }
    if let Some(price) = e.price_to_win {
        write!(line, " below={price}").expect("a String takes everything");
    }
    Some(line)
}

fn rule(rule: PaymentRule) -> &'static str {
    match rule {
        PaymentRule::PayAsBid => "as_bid",
        PaymentRule::Vcg => "vcg",
        PaymentRule::Core => "core",
    }
}

fn bundle_award(award: &BundleAward, price: Micros) -> String {
    let BundleAward { items, gap, payment_high, .. } = award;
    let gap = gap.map_or(String::new(), |gap| format!(" gap={gap}"));
    let most = match *payment_high {
        most if most == price => String::new(),
        most => format!(" at_most={most}"),
    };
    format!(" items={items}{gap}{most}")
}

fn say_close(names: &Names, rfq: RfqId, result: RfqResult, ranked: &[Ranked], out: &mut String) {
    let rfq = names.rfq(rfq);
    match result {
        RfqResult::Awarded => {}
        RfqResult::Passed => writeln!(out, "passed {rfq}").expect("a String takes everything"),
        RfqResult::Canceled => writeln!(out, "canceled {rfq}").expect("a String takes everything"),
    }
    for Ranked { provider, rank, result, .. } in ranked {
        let provider = names.agent(*provider);
        let rank = if *rank == 0 { String::new() } else { format!(" rank={rank}") };
        match result {
            RankedResult::Won | RankedResult::Shown => Ok(()),
            RankedResult::Lost(reason) => {
                writeln!(out, "lost {rfq} {provider} {}{rank}", snake(reason.info().name))
            }
            RankedResult::Standby(_) => writeln!(out, "standby {rfq} {provider}{rank}"),
            RankedResult::Declined(reason) => {
                writeln!(out, "declined {rfq} {provider} {}", snake(&format!("{reason:?}")))
            }
        }
        .expect("a String takes everything");
    }
}

/// Says what a buyer is shown.
fn say_book(names: &Names, rfq: RfqId, ranked: &[Ranked], out: &mut String) {
    for Ranked { provider, price, score, rank, result, .. } in ranked {
        let (rfq, provider) = (names.rfq(rfq), names.agent(*provider));
        let barred = match result {
            RankedResult::Lost(reason) => format!(" {}", snake(reason.info().name)),
            RankedResult::Won
            | RankedResult::Shown
            | RankedResult::Standby(_)
            | RankedResult::Declined(_) => String::new(),
        };
        writeln!(out, "shown {rfq} {provider} {price} score={score} rank={rank}{barred}")
            .expect("a String takes everything");
    }
}

fn line(names: &Names, what: &str, event: &Event) -> Option<String> {
    Some(match event {
        Event::Rejected(e) => format!("rejected {what} {}", snake(e.reason.info().name)),
        Event::Repeated(_) => format!("repeated {what}"),
        Event::CancelKept(_) => format!("kept {what}"),
        Event::Awarded(e) => {
            let (rfq, provider) = (names.rfq(e.rfq), names.agent(e.parties.provider));
            let units = if e.quantity == 1 { String::new() } else { format!(" x{}", e.quantity) };
            let Breakdown { price, latency, reputation, .. } = e.breakdown;
            let score = price.raw() + latency.raw() + reputation.raw();
            let score = match Micros::new(score) {
                score if score == price => String::new(),
                score => format!(" score={score}"),
            };
            let bundle = e.bundle.map_or(String::new(), |bundle| bundle_award(&bundle, e.price));
            format!("awarded {rfq} {provider} {}{units}{score}{bundle}", e.price)
        }
        Event::Moved(e) if e.kind == MovementKind::Compensation => {
            format!("compensated {} {}", names.account(e.to.account), e.amount)
        }
        Event::Moved(e) if e.kind == MovementKind::TopUp => {
            format!("topped_up {} {}", names.account(e.from.account), e.amount)
        }
        Event::ProviderInvited(e) => {
            format!("invited {} {}", names.rfq(e.rfq), names.agent(e.provider))
        }
        Event::RfqTaken(e) => format!(
            "taken {} {} x{} remaining={}",
            names.rfq(e.rfq),
            e.price,
            e.quantity,
            e.remaining
        ),
        Event::MassQuoted(e) => {
            format!("mass_quoted accepted={} rejected={}", e.accepted, e.rejected)
        }
        Event::LineRejected(e) => {
            format!("line_rejected {} {}", e.line, snake(e.reason.info().name))
        }
        Event::ContractTakenOver(e) => format!(
            "taken_over {} {} by {}",
            names.contract(e.contract),
            names.agent(e.parties.provider),
            names.agent(e.successor)
        ),
        Event::StandbyEnded(e) => {
            let (rfq, provider) = (names.rfq(e.rfq), names.agent(e.provider));
            match e.reason {
                None => format!("standby_ended {rfq} {provider} takes_over"),
                Some(reason) => {
                    format!("lost {rfq} {provider} {} rank={}", snake(reason.info().name), e.rank)
                }
            }
        }
        Event::ReputationChanged(e) => {
            format!("reputation {} {} -> {}", names.agent(e.agent), e.from_bps, e.to_bps)
        }
        Event::ProviderSuspended(e) => {
            format!("suspended {} fades={}", names.agent(e.provider), e.fades)
        }
        Event::Moved(e) if e.kind == MovementKind::Refund => {
            format!("refunded {} {}", names.account(e.to.account), e.amount)
        }
        Event::QuoteCanceled(e) if e.cause != CancelCause::Agent => format!(
            "quote_canceled {} {} {}",
            names.rfq(e.rfq),
            names.agent(e.provider),
            cause(e.cause)
        ),
        Event::StandingQuoteSet(e) if !what.starts_with("standing ") => format!(
            "standing {} {} {} x{}",
            names.capability(e.capability),
            names.agent(e.provider),
            e.price,
            e.capacity
        ),
        Event::StandingQuoteCanceled(e) if e.cause != CancelCause::Agent => format!(
            "standing_ended {} {} {}",
            names.capability(e.capability),
            names.agent(e.provider),
            cause(e.cause)
        ),
        Event::ContractVerified(e) if e.acceptance == Acceptance::Silence => {
            format!("accepted {} silence", names.contract(e.contract))
        }
        Event::ContractSettled(e) => format!(
            "settled {} {} {} fee={}{}",
            names.contract(e.contract),
            names.agent(e.parties.provider),
            e.released,
            e.fee,
            match e.penalty {
                Micros::ZERO => String::new(),
                penalty => format!(" penalty={penalty}"),
            }
        ),
        Event::ContractExpired(e) => format!("expired {}", names.contract(e.contract)),
        Event::SessionEnded(e) => format!("session_ended {}", names.agent(e.agent)),
        Event::Resumed(e) => format!("resumed sessions_lost={}", e.sessions_lost),
        Event::Upgraded(e) => format!("upgraded rules_version={}", e.rules_version),
        Event::ClearingStarted(_)
        | Event::AllocationProposed(_)
        | Event::RfqCleared(_)
        | Event::BundleLost(_) => return bundle_line(names, event),
        Event::Founded(_)
        | Event::BundlesQuoted(_)
        | Event::BundleQuoted(_)
        | Event::BundlesPosed(_)
        | Event::AccountEnrolled(_)
        | Event::AgentEnrolled(_)
        | Event::CapabilityListed(_)
        | Event::Deposited(_)
        | Event::Halted(_)
        | Event::Reopened(_)
        | Event::PriceBandSet(_)
        | Event::RfqDeclined(_)
        | Event::BookShown(_)
        | Event::QuotePicked(_)
        | Event::MassCanceled(_)
        | Event::EnvelopeSigned(_)
        | Event::LoggedOn(_)
        | Event::RfqOpened(_)
        | Event::RfqCanceled(_)
        | Event::RfqClosed(_)
        | Event::QuotePlaced(_)
        | Event::QuoteAmended(_)
        | Event::QuoteCanceled(_)
        | Event::StandingQuoteSet(_)
        | Event::StandingQuoteCanceled(_)
        | Event::WorkStarted(_)
        | Event::Delivered(_)
        | Event::ContractVerified(_)
        | Event::Moved(_)
        | Event::TimeAdvanced(_) => return None,
    })
}

fn cause(cause: CancelCause) -> &'static str {
    match cause {
        CancelCause::Agent => "agent",
        CancelCause::SessionLost => "session_lost",
        CancelCause::Expired => "expired",
        CancelCause::UsedUp => "used_up",
        CancelCause::MassCancel => "mass_cancel",
    }
}

/// Writes a reason's name the way scenarios do.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl Names {
    /// Returns the name of who has proposed an allocation.
    fn solver(&self, solver: AgentId) -> &str {
        if solver == AgentId::EXCHANGE { "exchange" } else { self.agent(solver) }
    }

    fn account(&self, account: AccountId) -> &str {
        self.accounts.get(&account).map_or("?", String::as_str)
    }

    fn agent(&self, agent: AgentId) -> &str {
        self.agents.get(&agent).map_or("?", String::as_str)
    }

    fn capability(&self, capability: CapabilityId) -> &str {
        self.capabilities.get(&capability).map_or("?", String::as_str)
    }

    fn rfq(&self, rfq: RfqId) -> &str {
        self.rfqs.get(&rfq).map_or("?", String::as_str)
    }

    fn contract(&self, contract: ContractId) -> &str {
        self.contracts.get(&contract).map_or("?", |rfq| self.rfq(*rfq))
    }
}
