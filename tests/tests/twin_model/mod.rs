//! The twin itself: the market's rules as `docs/PROTOCOL.md` has them, in lists and loops without
//! any cleverness.
//!
//! Left out: what is refused by looking at a command alone, client ids and revisions, sessions and
//! signatures, envelopes, mass quotes and mass cancels, outages (so also quotes that expire before
//! they are decided), the limits of tables and accounts, the best 32 standing quotes, 64 awards of an
//! RFQ and 8 standbys, the quote rate, roles, a second currency, and the order of what happens at one
//! moment.

mod choose;
mod clock;
mod closing;
mod contracts;
mod dutch;
mod op;
mod picking;
mod protection;
mod quotes;
pub mod real;
mod rfqs;
pub mod script;
mod standbys;
mod standing;

pub use op::*;

use closing::Entry;
use contracts::Contract;
use quotes::Quote;
use standbys::Standby;
use standing::Standing;

/// Why something is refused.
pub type Refusal = &'static str;

/// When something happens of itself, and in which order that was set.
pub type Due = (u64, u64);

/// An account's money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    pub available: i64,
    pub held: i64,
    pub escrow: i64,
    pub bonds: i64,
}

/// What is known of an agent as a provider.
struct Agent {
    reputation: i64,
    /// Since when its reputation has not faded.
    fades_from: u64,
    /// How often it has failed, less what was forgiven, and when that was last counted.
    fails: u64,
    failed_at: u64,
    suspended_until: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Picking,
    Ended,
}

struct Rfq {
    buyer: usize,
    terms: Terms,
    state: State,
    due: Due,
    /// What is still held for it, and the units that are not awarded yet.
    held: i64,
    remaining: u32,
    quotes: Vec<Quote>,
    declined: Vec<usize>,
    /// The book that its buyer sees, best first.
    book: Vec<Entry>,
    standbys: Vec<Standby>,
    highest_paid: Option<i64>,
    opened: u64,
    /// How long a halt has stopped its clock, and since when one does.
    stopped: u64,
    stopped_at: Option<u64>,
}

/// The market, naively.
pub struct Twin {
    pub said: Vec<String>,
    /// Microseconds.
    now: u64,
    /// Counts everything that happens, for places and for the order of deadlines.
    tick: u64,
    money: [Money; ACCOUNTS],
    agents: Vec<Agent>,
    halted: bool,
    capability_halted: [bool; CAPABILITIES],
    bands: [Option<(i64, i64)>; CAPABILITIES],
    standing: Vec<Standing>,
    rfqs: Vec<Rfq>,
    /// Whose quote each was, and for which RFQ: quotes are named by their place in this list.
    quoted: Vec<(usize, usize)>,
    /// Those that have ended stay as none: contracts are named by their place in this list.
    contracts: Vec<Option<Contract>>,
    /// Between whom each contract was: buyer, provider.
    parties: Vec<(usize, usize)>,
}

impl Twin {
    pub fn new(now: u64) -> Self {
        let agent = || Agent {
            reputation: 5_000,
            fades_from: now,
            fails: 0,
            failed_at: now,
            suspended_until: 0,
        };
        Self {
            said: Vec::new(),
            now,
            tick: 0,
            money: Default::default(),
            agents: (0..AGENTS).map(|_| agent()).collect(),
            halted: false,
            capability_halted: Default::default(),
            bands: Default::default(),
            standing: Vec::new(),
            rfqs: Vec::new(),
            quoted: Vec::new(),
            contracts: Vec::new(),
            parties: Vec::new(),
        }
    }

    pub fn balances(&self) -> [Money; ACCOUNTS] {
        self.money
    }

    /// Returns what an agent's own statement shows: reputation, open RFQs, live quotes, contracts.
    pub fn statement(&self, who: usize) -> (i64, usize, usize, usize) {
        let live = |rfq: &&Rfq| rfq.state != State::Ended;
        let rfqs = self.rfqs.iter().filter(live).filter(|rfq| rfq.buyer == who).count();
        let quotes = self.rfqs.iter().filter(live).flat_map(|rfq| &rfq.quotes);
        let quotes = quotes.filter(|quote| quote.who == who).count();
        let open = self.contracts.iter().zip(&self.parties).filter(|(open, _)| open.is_some());
        let contracts = open.filter(|(_, parties)| parties.0 == who || parties.1 == who).count();
        (self.reputation(who), rfqs, quotes, contracts)
    }

    pub fn execute(&mut self, op: &Op) {
        let done = match *op {
            Op::Deposit { who, amount } => {
                self.money[ACCOUNT_OF[who]].available += amount;
                Ok(())
            }
            Op::Open { who, ref terms } => self.open(who, terms),
            Op::CancelRfq { who, rfq } => self.cancel_rfq(who, rfq),
            Op::Quote { who, rfq, offer } => self.place_quote(who, rfq, offer),
            Op::Amend { who, quote, offer, .. } => self.amend_quote(who, quote, offer),
            Op::CancelQuote { who, quote } => self.cancel_quote(who, quote),
            Op::Decline { who, rfq } => self.decline(who, rfq),
            Op::Take { who, rfq, quantity, limit } => self.take(who, rfq, quantity, limit),
            Op::Pick { who, rfq, quote } => self.pick(who, rfq, quote),
            Op::Standing { who, capability, price, latency_ms, capacity, valid_for, .. } => {
                self.stand(who, capability, price, latency_ms, capacity, valid_for)
            }
            Op::CancelStanding { who, capability } => {
                self.standing.retain(|quote| (quote.who, quote.capability) != (who, capability));
                Ok(())
            }
            Op::Start { who, contract } => self.start(who, contract),
            Op::Deliver { who, contract } => self.deliver(who, contract),
            Op::Accept { who, contract } => self.accept(who, contract),
            Op::Band { capability, band } => {
                self.bands[capability] = band;
                Ok(())
            }
            Op::Halt { capability } => {
                self.halt(capability, true);
                Ok(())
            }
            Op::Reopen { capability } => {
                self.halt(capability, false);
                Ok(())
            }
            Op::Wait { time } => {
                self.wait(time);
                Ok(())
            }
        };
        if let Err(reason) = done {
            self.say(format!("rejected {reason}"));
        }
    }

    fn say(&mut self, what: String) {
        self.said.push(format!("{} {what}", self.now));
    }

    /// Returns the next number in the order of everything.
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn due_in(&mut self, time: u64) -> Due {
        (self.now + time, self.next_tick())
    }

    fn purse(&mut self, who: usize) -> &mut Money {
        &mut self.money[ACCOUNT_OF[who]]
    }

    /// Puts up a bond, if there is money for it.
    fn put_up(&mut self, who: usize, bond: i64) -> bool {
        let purse = self.purse(who);
        if purse.available < bond {
            return false;
        }
        purse.available -= bond;
        purse.bonds += bond;
        true
    }

    fn return_bond(&mut self, who: usize, bond: i64) {
        let purse = self.purse(who);
        purse.bonds -= bond;
        purse.available += bond;
    }
}

/// Returns a part of an amount in basis points, rounded up.
fn bps_rounded_up(amount: i64, bps: i64) -> i64 {
    (amount * bps + 9_999) / 10_000
}
