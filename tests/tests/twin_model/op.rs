//! What may happen, in numbers that the twin and the exchange both understand.

/// Agents, and the account of each: several agents may act for one account.
pub const AGENTS: usize = 7;
/// Whose money an agent spends and earns.
pub const ACCOUNT_OF: [usize; AGENTS] = [0, 1, 2, 3, 4, 0, 1];
/// Accounts.
pub const ACCOUNTS: usize = 5;
/// Kinds of work.
pub const CAPABILITIES: usize = 2;
/// The providers' fee, in millionths.
pub const FEE_PPM: i64 = 30_000;
/// What everybody begins with.
pub const BEGIN_WITH: i64 = 4_500;
/// Microseconds of a millisecond.
pub const MS: u64 = 1_000;
/// Microseconds of a day.
pub const DAY: u64 = 86_400_000 * MS;

/// How an RFQ is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    First,
    Second,
    Dutch,
    Choice,
}

/// Who has the first word in a Dutch RFQ.
#[derive(Clone, Copy, Debug)]
pub struct Exclusive {
    pub who: usize,
    pub until: u64,
    pub beatable_by_bps: i64,
}

/// What an RFQ asks for. Times are in microseconds.
#[derive(Clone, Debug)]
pub struct Terms {
    pub capability: usize,
    pub quantity: u32,
    pub split: bool,
    pub reserve: i64,
    pub format: Format,
    pub window: u64,
    pub cutoff: u64,
    pub close_early: bool,
    pub pick_within: u64,
    pub admit: bool,
    pub latency_per_ms: i64,
    pub reputation_per_bps: i64,
    pub reputation_min: i64,
    pub in_eu: bool,
    pub bond_bps: i64,
    pub top_up: bool,
    pub disclose: bool,
    pub start_within: u64,
    pub delivery_within: u64,
    pub acceptance_within: u64,
    pub invited: Vec<usize>,
    pub curve: Vec<(u64, i64)>,
    pub exclusive: Option<Exclusive>,
}

/// What a provider offers. Times are microseconds from now.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub price: i64,
    pub quantity: u32,
    pub all_or_none: bool,
    pub latency_ms: u32,
    pub valid_for: u64,
    pub standby_for: Option<u64>,
}

/// Something that happens. RFQs, quotes and contracts go by the order of their beginning.
#[derive(Clone, Debug)]
pub enum Op {
    Deposit {
        who: usize,
        amount: i64,
    },
    Open {
        who: usize,
        terms: Box<Terms>,
    },
    CancelRfq {
        who: usize,
        rfq: usize,
    },
    Quote {
        who: usize,
        rfq: usize,
        offer: Offer,
    },
    Amend {
        who: usize,
        quote: usize,
        offer: Offer,
        keep: [bool; 6],
    },
    CancelQuote {
        who: usize,
        quote: usize,
    },
    Decline {
        who: usize,
        rfq: usize,
    },
    Take {
        who: usize,
        rfq: usize,
        quantity: u32,
        limit: i64,
    },
    Pick {
        who: usize,
        rfq: usize,
        quote: usize,
    },
    Standing {
        who: usize,
        capability: usize,
        price: i64,
        latency_ms: u32,
        capacity: u32,
        valid_for: u64,
        keep: bool,
    },
    CancelStanding {
        who: usize,
        capability: usize,
    },
    Start {
        who: usize,
        contract: usize,
    },
    Deliver {
        who: usize,
        contract: usize,
    },
    Accept {
        who: usize,
        contract: usize,
    },
    Band {
        capability: usize,
        band: Option<(i64, i64)>,
    },
    Halt {
        capability: Option<usize>,
    },
    Reopen {
        capability: Option<usize>,
    },
    Wait {
        time: u64,
    },
}

/// Returns whether data stays in the European Union with an agent.
pub fn is_in_eu(who: usize) -> bool {
    who % 3 != 2
}

impl Terms {
    /// Makes terms that go together: what does not is refused before the market's rules begin.
    pub fn tidy(mut self, buyer: usize) -> Self {
        let dutch = self.format == Format::Dutch;
        let choice = self.format == Format::Choice;
        if self.window == 0 && (dutch || choice) {
            self.window = 300 * MS;
        }
        if self.window == 0 {
            (self.admit, self.cutoff) = (true, 0);
            self.invited.clear();
        }
        if !self.invited.is_empty() || dutch || choice {
            self.admit = false;
        }
        self.close_early &= !self.invited.is_empty() && !dutch;
        self.split &= !choice;
        if !choice {
            self.pick_within = 0;
        }
        if dutch {
            (self.cutoff, self.latency_per_ms, self.reputation_per_bps) = (0, 0, 0);
            self.tidy_dutch(buyer);
        } else {
            self.curve.clear();
            self.exclusive = None;
        }
        self
    }

    /// The curve begins at once and rises to the reserve within the window.
    fn tidy_dutch(&mut self, buyer: usize) {
        let (window, reserve) = (self.window, self.reserve);
        let mut price = reserve;
        for (step, point) in self.curve.iter_mut().enumerate().rev() {
            price = price.min(point.1);
            *point = (window / 4 * step as u64, price);
        }
        if let Some(last) = self.curve.last_mut() {
            last.1 = reserve;
        }
        if let Some(exclusive) = &mut self.exclusive {
            exclusive.until = exclusive.until.min(window);
        }
        let may_answer = |who: usize| {
            ACCOUNT_OF[who] != ACCOUNT_OF[buyer]
                && (self.invited.is_empty() || self.invited.contains(&who))
        };
        self.exclusive = self.exclusive.filter(|exclusive| may_answer(exclusive.who));
    }
}
