//! The twin itself: lists, loops and no cleverness.

/// Agents, each with an account of its own.
pub const TRADERS: usize = 5;
/// The providers' fee.
pub const FEE_PPM: u32 = 100_000;
/// How long a provider may take.
pub const DELIVERY_MS: u64 = 1_000;
/// How long a buyer may object.
pub const ACCEPTANCE_MS: u64 = 500;
/// Standing quotes that are considered.
const CONSIDERED: usize = 32;

/// Something that happens. RFQs go by the order of their opening.
#[derive(Clone, Debug)]
pub enum Op {
    Deposit { who: usize, amount: i64 },
    Open { who: usize, reserve: i64, quantity: u32, window_ms: u64, admit: bool },
    Quote { who: usize, rfq: usize, price: i64 },
    Amend { who: usize, rfq: usize, price: i64 },
    CancelQuote { who: usize, rfq: usize },
    CancelRfq { who: usize, rfq: usize },
    Standing { who: usize, price: i64, capacity: u32 },
    CancelStanding { who: usize },
    Deliver { who: usize, rfq: usize },
    Accept { who: usize, rfq: usize },
    Wait { ms: u64 },
}

#[derive(Clone)]
struct Quote {
    who: usize,
    price: i64,
    place: u64,
}

struct Rfq {
    buyer: usize,
    reserve: i64,
    quantity: u32,
    admit: bool,
    quotes: Vec<Quote>,
    /// When it closes, and in which order that was set; none once it is closed.
    closes: Option<(u64, u64)>,
    contract: Option<Contract>,
}

struct Contract {
    provider: usize,
    escrow: i64,
    quantity: u32,
    /// Which of the provider's standing quotes it was awarded on.
    standing: Option<u64>,
    delivered: bool,
    due: (u64, u64),
}

/// A standing quote without capacity is used up.
struct Standing {
    price: i64,
    capacity: u32,
    place: u64,
    revision: u64,
}

#[derive(Clone, Copy, Default)]
struct Money {
    available: i64,
    held: i64,
    escrow: i64,
}

/// The market, naively.
pub struct Twin {
    pub said: Vec<String>,
    now_ms: u64,
    /// Counts everything that happens, for places and for the order of deadlines.
    tick: u64,
    money: [Money; TRADERS],
    standing: [Option<Standing>; TRADERS],
    fades: [u32; TRADERS],
    suspended_until_ms: [u64; TRADERS],
    rfqs: Vec<Rfq>,
}

impl Twin {
    pub fn new() -> Self {
        Self {
            said: Vec::new(),
            now_ms: 0,
            tick: 0,
            money: Default::default(),
            standing: Default::default(),
            fades: Default::default(),
            suspended_until_ms: Default::default(),
            rfqs: Vec::new(),
        }
    }

    pub fn balances(&self) -> Vec<(i64, i64, i64)> {
        self.money.iter().map(|money| (money.available, money.held, money.escrow)).collect()
    }

    pub fn execute(&mut self, op: &Op) {
        self.tick += 1;
        let done = match *op {
            Op::Wait { ms } => {
                self.wait(ms);
                Ok(())
            }
            Op::Deposit { who, amount } => {
                self.money[who].available += amount;
                Ok(())
            }
            Op::Open { who, reserve, quantity, window_ms, admit } => {
                self.open(who, reserve, quantity, window_ms, admit)
            }
            Op::Quote { who, rfq, price } => self.quote(who, rfq, price),
            Op::Amend { who, rfq, price } => self.amend(who, rfq, price),
            Op::CancelQuote { who, rfq } => self.cancel_quote(who, rfq),
            Op::CancelRfq { who, rfq } => self.cancel_rfq(who, rfq),
            Op::Standing { who, price, capacity } => self.stand(who, price, capacity),
            Op::CancelStanding { who } => {
                self.standing[who] = None;
                Ok(())
            }
            Op::Deliver { who, rfq } => self.deliver(who, rfq),
            Op::Accept { who, rfq } => self.accept(who, rfq),
        };
        if let Err(reason) = done {
            self.said.push(format!("rejected {reason}"));
        }
    }

    fn open(
        &mut self,
        buyer: usize,
        reserve: i64,
        quantity: u32,
        window_ms: u64,
        admit: bool,
    ) -> Result<(), &'static str> {
        let total = reserve * i64::from(quantity);
        if self.money[buyer].available < total {
            return Err("InsufficientFunds");
        }
        self.money[buyer].available -= total;
        self.money[buyer].held += total;
        let closes = Some((self.now_ms + window_ms, self.tick));
        let admit = admit || window_ms == 0;
        let (quotes, contract) = (Vec::new(), None);
        self.rfqs.push(Rfq { buyer, reserve, quantity, admit, quotes, closes, contract });
        if window_ms == 0 {
            self.close(self.rfqs.len() - 1);
        }
        Ok(())
    }

    fn open_rfq(&mut self, rfq: usize) -> Result<&mut Rfq, &'static str> {
        match self.rfqs.get_mut(rfq) {
            None => Err("UnknownRfq"),
            Some(rfq) if rfq.closes.is_none() => Err("TooLate"),
            Some(rfq) => Ok(rfq),
        }
    }

    fn quote(&mut self, who: usize, rfq: usize, price: i64) -> Result<(), &'static str> {
        let (place, suspended) = (self.tick, self.is_suspended(who));
        let rfq = self.open_rfq(rfq)?;
        if suspended {
            return Err("ProviderSuspended");
        }
        if rfq.buyer == who {
            return Err("SelfTrade");
        }
        if rfq.quotes.iter().any(|quote| quote.who == who) {
            return Err("QuoteExists");
        }
        rfq.quotes.push(Quote { who, price, place });
        Ok(())
    }

    fn amend(&mut self, who: usize, rfq: usize, price: i64) -> Result<(), &'static str> {
        let (place, suspended) = (self.tick, self.is_suspended(who));
        let rfq = self.open_rfq(rfq).map_err(|_| "UnknownQuote")?;
        let quote = rfq.quotes.iter_mut().find(|quote| quote.who == who).ok_or("UnknownQuote")?;
        if suspended {
            return Err("ProviderSuspended");
        }
        if quote.price != price {
            (quote.price, quote.place) = (price, place);
        }
        Ok(())
    }

    fn cancel_quote(&mut self, who: usize, rfq: usize) -> Result<(), &'static str> {
        let rfq = self.open_rfq(rfq).map_err(|_| "UnknownQuote")?;
        let at = rfq.quotes.iter().position(|quote| quote.who == who).ok_or("UnknownQuote")?;
        rfq.quotes.remove(at);
        Ok(())
    }

    fn cancel_rfq(&mut self, who: usize, index: usize) -> Result<(), &'static str> {
        let rfq = self.open_rfq(index)?;
        if rfq.buyer != who {
            return Err("UnknownRfq");
        }
        rfq.closes = None;
        for quote in std::mem::take(&mut rfq.quotes) {
            self.said.push(format!("lost {index} {} RfqCanceled", quote.who));
        }
        self.refund(index, 0);
        Ok(())
    }

    fn is_suspended(&self, who: usize) -> bool {
        self.now_ms < self.suspended_until_ms[who]
    }

    fn stand(&mut self, who: usize, price: i64, capacity: u32) -> Result<(), &'static str> {
        if self.is_suspended(who) {
            return Err("ProviderSuspended");
        }
        let place = match &self.standing[who] {
            Some(old) if old.price == price && capacity <= old.capacity => old.place,
            _ => self.tick,
        };
        self.standing[who] = Some(Standing { price, capacity, place, revision: self.tick });
        Ok(())
    }

    /// Gives units back to the standing quote that they were awarded on, if it is still that one.
    fn give_back(&mut self, contract: &Contract) {
        if let Some(quote) = &mut self.standing[contract.provider]
            && contract.standing == Some(quote.revision)
        {
            quote.capacity += contract.quantity;
        }
    }

    /// Moves the hold back, but for what was spent.
    fn refund(&mut self, index: usize, spent: i64) {
        let rfq = &self.rfqs[index];
        let total = rfq.reserve * i64::from(rfq.quantity);
        let money = &mut self.money[rfq.buyer];
        money.held -= total;
        money.escrow += spent;
        money.available += total - spent;
    }

    fn close(&mut self, index: usize) {
        let rfq = &mut self.rfqs[index];
        rfq.closes = None;
        let (buyer, reserve, quantity) = (rfq.buyer, rfq.reserve, rfq.quantity);
        // Price, place, who, whether standing, why it cannot win.
        let mut all: Vec<(i64, u64, usize, bool, Option<&str>)> = Vec::new();
        for quote in std::mem::take(&mut rfq.quotes) {
            all.push((quote.price, quote.place, quote.who, false, None));
        }
        if rfq.admit {
            let mut standing: Vec<_> = (0..TRADERS)
                .filter_map(|who| self.standing[who].as_ref().map(|quote| (who, quote)))
                .filter(|(_, quote)| quote.capacity > 0)
                .collect();
            standing.sort_by_key(|(_, quote)| (quote.price, quote.place));
            for (who, quote) in standing.into_iter().take(CONSIDERED) {
                let barred = (quote.capacity < quantity).then_some("Unfillable");
                all.push((quote.price, quote.place, who, true, barred));
            }
        }
        for entry in &mut all {
            if entry.2 == buyer {
                entry.4 = Some("SelfTrade");
            } else if self.now_ms < self.suspended_until_ms[entry.2] {
                entry.4 = Some("ProviderSuspended");
            } else if entry.0 > reserve {
                entry.4 = Some("AboveReserve");
            }
        }
        all.sort_by_key(|(price, place, _, _, barred)| (barred.is_some(), *price, *place));
        let winner = all.first().filter(|entry| entry.4.is_none()).copied();
        if let Some((price, _, provider, _, _)) = winner {
            self.said.push(format!("awarded {index} {provider} {price} x{quantity}"));
        }
        for (rank, (price, _, who, _, barred)) in all.iter().enumerate() {
            let reason = match (barred, winner) {
                (Some(reason), _) => reason,
                (None, _) if rank == 0 => continue,
                (None, Some(winner)) if winner.0 == *price => "Tied",
                (None, _) if rank == 1 => "Cover",
                (None, _) => "Outscored",
            };
            self.said.push(format!("lost {index} {who} {reason}"));
        }
        let Some((price, _, provider, standing, _)) = winner else {
            return self.refund(index, 0);
        };
        let escrow = price * i64::from(quantity);
        self.refund(index, escrow);
        let due = (self.now_ms + DELIVERY_MS, self.tick);
        let mut contract =
            Contract { provider, escrow, quantity, standing: None, delivered: false, due };
        if standing && let Some(quote) = &mut self.standing[provider] {
            quote.capacity -= quantity;
            contract.standing = Some(quote.revision);
        }
        self.rfqs[index].contract = Some(contract);
    }

    fn deliver(&mut self, who: usize, rfq: usize) -> Result<(), &'static str> {
        let due = (self.now_ms + ACCEPTANCE_MS, self.tick);
        let contract = self.rfqs.get_mut(rfq).and_then(|rfq| rfq.contract.as_mut());
        let contract = contract.filter(|contract| contract.provider == who);
        let contract = contract.ok_or("UnknownContract")?;
        if contract.delivered {
            return Err("WrongState");
        }
        contract.delivered = true;
        contract.due = due;
        Ok(())
    }

    fn accept(&mut self, who: usize, index: usize) -> Result<(), &'static str> {
        let rfq = self.rfqs.get(index).filter(|rfq| rfq.buyer == who);
        let contract = rfq.and_then(|rfq| rfq.contract.as_ref()).ok_or("UnknownContract")?;
        if !contract.delivered {
            return Err("WrongState");
        }
        self.settle(index);
        Ok(())
    }

    fn settle(&mut self, index: usize) {
        let Some(contract) = self.rfqs[index].contract.take() else { return };
        let fee = contract.escrow * i64::from(FEE_PPM) / 1_000_000;
        self.money[self.rfqs[index].buyer].escrow -= contract.escrow;
        self.money[contract.provider].available += contract.escrow - fee;
        self.said.push(format!("settled {} {} {fee}", contract.provider, contract.escrow - fee));
        self.give_back(&contract);
    }

    fn expire(&mut self, index: usize) {
        let Some(contract) = self.rfqs[index].contract.take() else { return };
        let buyer = self.rfqs[index].buyer;
        self.money[buyer].escrow -= contract.escrow;
        self.money[buyer].available += contract.escrow;
        self.said.push(format!("expired {buyer} {}", contract.escrow));
        // A minute the first time, and each time twice as long as before.
        let provider = contract.provider;
        self.fades[provider] = (self.fades[provider] + 1).min(11);
        let minutes = 1 << (self.fades[provider] - 1);
        self.suspended_until_ms[provider] = self.now_ms + minutes * 60_000;
        self.give_back(&contract);
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        loop {
            let due = self.rfqs.iter().enumerate().filter_map(|(index, rfq)| {
                let due = rfq.closes.or(rfq.contract.as_ref().map(|contract| contract.due))?;
                Some((due, index))
            });
            let Some(((at, _), index)) = due.min().filter(|((at, _), _)| *at <= until) else {
                break;
            };
            self.now_ms = at;
            self.tick += 1;
            match &self.rfqs[index].contract {
                None => self.close(index),
                Some(contract) if contract.delivered => self.settle(index),
                Some(_) => self.expire(index),
            }
        }
        self.now_ms = until;
    }
}
