//! After warm-up the core allocates nothing: not for quotes, closes, awards, deliveries, payments.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gavel_exchange::{Events, Exchange};
use gavel_protocol::*;

/// The system's allocator, with a count per thread.
struct Counted;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator with the arguments it came with; counting does
// not allocate, because the counter is constant-initialised and has no destructor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

const AGENTS: usize = 40;

struct Market {
    exchange: Exchange,
    now: TimestampNs,
    events: Vec<Event>,
    ranking: Vec<Ranked>,
    client_ids: u128,
    allocated: u64,
}

impl Market {
    /// Applies a command, counts what that allocated, and returns its first event.
    fn apply(&mut self, agent: AgentId, command: Command) -> Event {
        let (seq, ts_event) = (self.exchange.seq() + 1, self.now);
        let stamped = Stamped { seq, ts_event, request: Request { agent, command } };
        self.events.clear();
        self.ranking.clear();
        let before = ALLOCATIONS.get();
        let mut out = Events { events: &mut self.events, ranking: &mut self.ranking };
        self.exchange.apply(&stamped, &mut out);
        self.allocated += ALLOCATIONS.get() - before;
        self.events[0]
    }

    fn advance(&mut self) {
        while self.exchange.is_due(self.now) {
            self.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        }
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }
}

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

fn market() -> (Market, Vec<AgentId>, CapabilityId) {
    let mut market = Market {
        exchange: Exchange::new(),
        now: TimestampNs::from_nanos(1_767_225_600_000_000_000),
        events: Vec::with_capacity(1_024),
        ranking: Vec::with_capacity(1_024),
        client_ids: 0,
        allocated: 0,
    };
    let found = Found {
        name: "still".parse().unwrap(),
        id_key: digest(1),
        operator_key: PublicKey::new([255; 32]),
        settings: Settings { fee_ppm: 10_000 },
    };
    let founded = market.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
    let Event::Founded(Founded { operator, .. }) = founded else { panic!("{founded:?}") };
    let (client_id, name) = (market.client_id(), "work".parse().unwrap());
    let list = ListCapability { client_id, name, currency: Currency::USD, terms: digest(2) };
    let listed = market.apply(operator, Command::ListCapability(list));
    let Event::CapabilityListed(listed) = listed else { panic!("{listed:?}") };
    let agents = (0..AGENTS).map(|number| {
        let (client_id, transaction_max) = (market.client_id(), Micros::new(1_000_000_000));
        let enrol = EnrolAccount { client_id, transaction_max };
        let enrolled = market.apply(operator, Command::EnrolAccount(enrol));
        let Event::AccountEnrolled(account) = enrolled else { panic!("{enrolled:?}") };
        let (client_id, account) = (market.client_id(), account.account);
        let (amount, currency) = (Micros::new(100_000_000_000), Currency::USD);
        market.apply(operator, Command::Deposit(Deposit { client_id, account, amount, currency }));
        let client_id = market.client_id();
        let key = PublicKey::new([u8::try_from(number).unwrap(); 32]);
        let enrol = EnrolAgent { client_id, account, key, roles: Roles::TRADER };
        let enrolled = market.apply(operator, Command::EnrolAgent(enrol));
        let Event::AgentEnrolled(agent) = enrolled else { panic!("{enrolled:?}") };
        agent.agent
    });
    let agents = agents.collect();
    (market, agents, listed.capability)
}

/// One round of everything: standing quotes, RFQs of both kinds, quotes, closes, payments, refunds.
fn round(market: &mut Market, agents: &[AgentId], capability: CapabilityId, number: u64) {
    let valid_until = market.now.after(DurationNs::from_secs(3_600));
    for (agent, price) in agents[1..].iter().zip(1..) {
        let quote = SetStandingQuote {
            capability,
            revision: number,
            price: Micros::new(1_000 + price),
            capacity: 1,
            valid_until,
            terms: digest(2),
            signature: None,
        };
        market.apply(*agent, Command::SetStandingQuote(quote));
    }
    for window_ms in [0, 100, 200] {
        let rfq = RfqTerms {
            capability,
            currency: Currency::USD,
            quantity: 1,
            reserve: Micros::new(5_000),
            format: Format::FirstPrice,
            window: DurationNs::from_millis(window_ms),
            admit_standing: true,
            disclosure: Disclosure::ClearingPrice,
            delivery_within: DurationNs::from_secs(1),
            acceptance_within: DurationNs::from_secs(1),
            spec: digest(3),
            inputs: None,
            terms: digest(2),
        };
        let (client_id, signature) = (market.client_id(), None);
        let open = OpenRfq { client_id, rfq, signature };
        let opened = market.apply(agents[0], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
        for agent in agents[1..].iter().filter(|_| window_ms > 0) {
            let (client_id, signature) = (market.client_id(), None);
            let (rfq, price) = (opened.rfq, Micros::new(900 + i64::try_from(number).unwrap()));
            let place = PlaceQuote { client_id, rfq, price, valid_until, signature };
            let placed = market.apply(*agent, Command::PlaceQuote(place));
            assert!(matches!(placed, Event::QuotePlaced(_)), "{placed:?}");
        }
        market.now = market.now.after(DurationNs::from_millis(window_ms));
        market.advance();
    }
    // One contract is delivered and paid, the others expire.
    let statement = market.exchange.statement(agents[0], market.now).unwrap();
    let paid = &statement.contracts[0];
    let (client_id, contract) = (market.client_id(), paid.contract);
    let deliver = Deliver { client_id, contract, deliverable: digest(4) };
    market.apply(paid.parties.provider, Command::Deliver(deliver));
    let client_id = market.client_id();
    market.apply(agents[0], Command::AcceptDelivery(AcceptDelivery { client_id, contract }));
    market.now = market.now.after(DurationNs::from_secs(2));
    market.advance();
    assert!(market.exchange.statement(agents[0], market.now).unwrap().contracts.is_empty());
}

#[test]
fn after_warm_up_the_core_allocates_nothing() {
    let (mut market, agents, capability) = market();
    for number in 1..10 {
        round(&mut market, &agents, capability, number);
    }
    market.allocated = 0;
    for number in 10..60 {
        round(&mut market, &agents, capability, number);
    }
    assert_eq!(market.allocated, 0, "the core allocated {} times", market.allocated);
}
