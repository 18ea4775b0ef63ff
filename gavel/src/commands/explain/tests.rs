//! Explanations of histories made in the pure exchange: who sees what, at which price a loser would
//! have won, and whose money moved.

use gavel_exchange::Exchange;
use gavel_protocol::*;
use gavel_sequencer::Batch;
use serde_json::Value;

use super::history::History;
use super::names::Names;
use super::report::Report;
use super::view::View;

const WINDOW: DurationNs = DurationNs::from_secs(1);

/// A pure exchange whose steps are kept, with one capability and five agents of 1,000.00 each.
struct Market {
    exchange: Exchange,
    batch: Batch,
    now: TimestampNs,
    client_ids: u128,
    operator: AgentId,
    capability: CapabilityId,
    agents: Vec<AgentId>,
}

impl Market {
    fn new() -> Self {
        let mut market = Self {
            exchange: Exchange::new(),
            batch: Batch::default(),
            now: TimestampNs::from_nanos(1_800_000_000_000_000_000),
            client_ids: 0,
            operator: AgentId::EXCHANGE,
            capability: CapabilityId::new(0),
            agents: Vec::new(),
        };
        let found = Found {
            name: "test".parse().unwrap(),
            id_key: Digest::new([9; 32]),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(10_000),
        };
        let founded = market.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
        let Event::Founded(founded) = founded else { panic!("{founded:?}") };
        market.operator = founded.operator;
        let (client_id, name) = (market.client_id(), "ocr".parse().unwrap());
        let (currency, terms) = (Currency::USD, Digest::new([0; 32]));
        let list = ListCapability { client_id, name, currency, terms };
        let listed = market.apply(market.operator, Command::ListCapability(list));
        let Event::CapabilityListed(listed) = listed else { panic!("{listed:?}") };
        market.capability = listed.capability;
        market.agents = (1..=5).map(|number| market.enrol(number)).collect();
        market
    }

    fn enrol(&mut self, number: u8) -> AgentId {
        let (client_id, transaction_max) = (self.client_id(), Micros::new(1_000_000_000));
        let enrol = EnrolAccount { client_id, transaction_max };
        let enrolled = self.apply(self.operator, Command::EnrolAccount(enrol));
        let Event::AccountEnrolled(account) = enrolled else { panic!("{enrolled:?}") };
        let account: AccountId = account.account;
        let (client_id, currency) = (self.client_id(), Currency::USD);
        let deposit = Deposit { client_id, account, amount: transaction_max, currency };
        self.apply(self.operator, Command::Deposit(deposit));
        let (client_id, key) = (self.client_id(), PublicKey::new([number; 32]));
        let (roles, attributes) = (Roles::TRADER, Attributes::default());
        let enrol = EnrolAgent { client_id, account, key, roles, attributes };
        let enrolled = self.apply(self.operator, Command::EnrolAgent(enrol));
        let Event::AgentEnrolled(agent) = enrolled else { panic!("{enrolled:?}") };
        agent.agent
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }

    /// Applies a command, and returns its first event.
    fn apply(&mut self, agent: AgentId, command: Command) -> Event {
        let Self { exchange, batch, now, .. } = self;
        let request = Request { agent, command };
        let stamped = Stamped { seq: exchange.seq() + 1, ts_event: *now, request };
        let first = batch.events.len();
        let mut out = batch.out();
        exchange.apply(&stamped, &mut out);
        batch.end_step(stamped, None);
        batch.events[first]
    }

    fn open(&mut self, change: impl FnOnce(&mut RfqTerms)) -> RfqId {
        self.open_for(Vec::new(), change)
    }

    fn open_for(&mut self, invited: Vec<AgentId>, change: impl FnOnce(&mut RfqTerms)) -> RfqId {
        let reserve = Micros::new(50_000_000);
        let mut terms = RfqTerms::plain(self.capability, Currency::USD, reserve);
        terms.window = WINDOW;
        change(&mut terms);
        let client_id = self.client_id();
        let open = OpenRfq { invited, ..OpenRfq::plain(client_id, terms) };
        let opened = self.apply(self.agents[0], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = opened else { panic!("{opened:?}") };
        opened.rfq
    }

    fn quote(&mut self, number: usize, rfq: RfqId, price: i64, change: impl FnOnce(&mut Offer)) {
        let mut offer = Offer::new(Micros::new(price), TimestampNs::MAX);
        change(&mut offer);
        let place = PlaceQuote { client_id: self.client_id(), rfq, offer, signature: None };
        let placed = self.apply(self.agents[number], Command::PlaceQuote(place));
        assert!(matches!(placed, Event::QuotePlaced(_)), "{placed:?}");
    }

    fn decline(&mut self, number: usize, rfq: RfqId) {
        let (client_id, reason) = (self.client_id(), NoQuoteReason::Policy);
        let decline = DeclineRfq { client_id, rfq, reason };
        self.apply(self.agents[number], Command::DeclineRfq(decline));
    }

    fn advance(&mut self, duration: DurationNs) {
        self.now = self.now.after(duration);
        while self.exchange.is_due(self.now) {
            self.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        }
    }

    fn history(&self, rfq: RfqId) -> History {
        let mut history = History::of(rfq);
        self.batch.steps().for_each(|step| history.add(&step));
        history
    }

    /// Returns the explanation for an agent, as text and as JSON.
    fn explain(&self, rfq: RfqId, agent: AgentId) -> Option<(String, Value)> {
        let history = self.history(rfq);
        let view = View::of(&history, agent)?;
        let report = Report::new(&view, &Names::default());
        Some((report.to_string(), serde_json::to_value(&report).unwrap()))
    }

    /// Returns the price at which the quote of an agent would have won, as that agent sees it.
    fn would_have_won_at(&self, rfq: RfqId, asker: AgentId, number: usize) -> Option<i64> {
        let provider = self.agents[number].to_string();
        let (_, json) = self.explain(rfq, asker).unwrap();
        let quotes = json["quotes"].as_array().unwrap().clone();
        let quote = quotes.iter().find(|quote| quote["provider"] == provider).unwrap();
        quote["would_have_won_at"].as_str().map(|price| price.parse().unwrap())
    }
}

#[test]
fn sealed_quotes_are_shown_to_nobody_before_the_close() {
    let world = |rivals: bool| {
        let mut market = Market::new();
        let rfq = market.open(|terms| terms.bond_bps = 500);
        if rivals {
            market.quote(1, rfq, 30_000_000, |_| ());
            market.quote(2, rfq, 31_000_000, |offer| offer.latency_ms = 9);
            market.decline(3, rfq);
        }
        let askers = [market.operator, market.agents[0], market.agents[4]];
        askers.map(|asker| market.explain(rfq, asker).unwrap())
    };
    let (none, some) = (world(false), world(true));
    assert_eq!(none, some, "operator, buyer and public see the same with quotes and without");
    assert!(none.iter().all(|(text, _)| text.contains("sealed until the close")));

    // Even their own providers are only told what is public.
    let mut market = Market::new();
    let rfq = market.open(|_| ());
    market.quote(1, rfq, 30_000_000, |_| ());
    let (text, json) = market.explain(rfq, market.agents[1]).unwrap();
    assert!(!text.contains("30.00") && json["quotes"] == serde_json::json!([]), "{text}");
}

#[test]
fn after_the_close_each_sees_what_it_may() {
    let mut market = Market::new();
    let rfq = market.open(|terms| terms.disclosure = Disclosure::Nothing);
    market.quote(1, rfq, 30_000_000, |_| ());
    market.quote(2, rfq, 31_000_000, |_| ());
    market.quote(3, rfq, 51_000_000, |_| ());
    market.advance(WINDOW);
    let agents = market.agents.clone();
    let explain = |asker| market.explain(rfq, asker).unwrap();
    for asker in [market.operator, agents[0]] {
        let (text, json) = explain(asker);
        assert_eq!(json["quotes"].as_array().unwrap().len(), 3, "{text}");
        for seen in ["30.00", "31.00", "51.00", "50.00", "Hold", "Capture", "Refund"] {
            assert!(text.contains(seen), "{seen} in {text}");
        }
    }
    let (text, json) = explain(agents[2]);
    assert!(text.contains("31.00") && text.contains("   2  "), "{text}");
    for hidden in ["30.00", "51.00", "50.00", &agents[1].to_string(), &agents[3].to_string()] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
        assert!(!json.to_string().contains(hidden), "{hidden} in {json}");
    }
    assert_eq!(json["clearing_price"], Value::Null);
    assert_eq!(market.would_have_won_at(rfq, agents[2], 2), None, "nothing is disclosed");

    let (text, json) = explain(agents[4]);
    assert_eq!(json["quotes"], serde_json::json!([]));
    assert_eq!(json["money"], serde_json::json!([]));
    assert!(text.contains("1 unit awarded") && !text.contains("30.00"), "{text}");
}

#[test]
fn what_is_directed_is_hidden_from_others_and_what_is_canceled_stays_sealed() {
    let mut market = Market::new();
    let agents = market.agents.clone();
    let rfq = market.open_for(vec![agents[1], agents[2]], |_| ());
    assert!(market.explain(rfq, agents[3]).is_none());
    market.quote(1, rfq, 30_000_000, |_| ());
    let (client_id, target) = (market.client_id(), gavel_protocol::RfqTarget::Id(rfq));
    let cancel = gavel_protocol::CancelRfq { client_id, target };
    market.apply(agents[0], Command::CancelRfq(cancel));
    for (asker, sees) in [(agents[0], false), (market.operator, false), (agents[1], true)] {
        let (text, _) = market.explain(rfq, asker).unwrap();
        assert_eq!(text.contains("30.00"), sees, "{text}");
    }
}

#[test]
fn a_loser_would_have_won_at_that_price_and_at_no_higher_one() {
    for format in [Format::FirstPrice, Format::SecondPrice] {
        for (first, second, latency_ms) in [(30, 31, 0), (30, 30, 0), (30, 60, 0), (20, 29, 1_000)]
        {
            // The loser quotes after the winner, and then before it.
            for loser_first in [false, true] {
                let close = |losing: Option<i64>| {
                    let mut market = Market::new();
                    let rfq = market.open(|terms| {
                        terms.format = format;
                        terms.scoring.latency_per_ms = Micros::new(3_000);
                    });
                    let losing = losing.unwrap_or(second * 1_000_000 + i64::from(loser_first));
                    let lose = |market: &mut Market| {
                        market.quote(2, rfq, losing, |offer| offer.latency_ms = latency_ms);
                    };
                    if loser_first {
                        lose(&mut market);
                    }
                    market.quote(1, rfq, first * 1_000_000, |_| ());
                    if !loser_first {
                        lose(&mut market);
                    }
                    market.advance(WINDOW);
                    (market, rfq)
                };
                let (market, rfq) = close(None);
                let price = market.would_have_won_at(rfq, market.agents[0], 2).unwrap();
                let wins = |price| {
                    let (market, rfq) = close(Some(price));
                    let ranked = market.history(rfq).ranked;
                    let won = ranked.iter().find(|entry| entry.result == RankedResult::Won);
                    won.unwrap().provider == market.agents[2]
                };
                let case = format!("{format:?} {first} {second} {latency_ms} {loser_first}");
                assert!(wins(price), "{case}: {price}");
                assert!(!wins(price + 1), "{case}: {price}");
            }
        }
    }
}

#[test]
fn a_provider_is_told_no_more_than_the_clearing_price_allows() {
    let mut market = Market::new();
    let first = market.open(|_| ());
    let scored = market.open(|terms| terms.scoring.latency_per_ms = Micros::new(10_000));
    let second = market.open(|terms| terms.format = Format::SecondPrice);
    for rfq in [first, scored, second] {
        market.quote(1, rfq, 30_000_000, |offer| offer.latency_ms = 100);
        market.quote(2, rfq, 34_000_000, |_| ());
    }
    market.advance(WINDOW);
    let (buyer, provider) = (market.agents[0], market.agents[2]);
    assert_eq!(market.would_have_won_at(first, provider, 2), Some(29_999_999));
    assert_eq!(market.would_have_won_at(scored, buyer, 2), Some(30_999_999));
    assert_eq!(market.would_have_won_at(scored, provider, 2), Some(30_000_000));
    assert_eq!(market.would_have_won_at(second, buyer, 2), Some(29_999_999));
    assert_eq!(market.would_have_won_at(second, provider, 2), None, "it is the winner's own price");
}

#[test]
fn every_line_of_the_ledger_belongs_to_exactly_one_rfq() {
    let mut market = Market::new();
    let scoring = Scoring { latency_per_ms: Micros::new(1_000), ..Scoring::default() };
    let bonded = |terms: &mut RfqTerms| {
        (terms.bond_bps, terms.scoring) = (1_000, scoring);
        terms.delivery_within = WINDOW;
    };
    let standby = |offer: &mut Offer| offer.standby_until = Some(TimestampNs::MAX);
    // All of these end in the same steps: awarded and taken over, awarded and expired, passed,
    // without bonds, and with a quote that is canceled.
    let rfqs = [
        market.open(bonded),
        market.open(bonded),
        market.open(bonded),
        market.open(|terms| terms.delivery_within = WINDOW),
    ];
    market.quote(1, rfqs[0], 30_000_000, |_| ());
    market.quote(2, rfqs[0], 31_000_000, standby);
    market.quote(3, rfqs[0], 32_000_000, standby);
    market.quote(2, rfqs[1], 40_000_000, |_| ());
    market.quote(3, rfqs[2], 60_000_000, |_| ());
    market.quote(4, rfqs[3], 20_000_000, standby);
    market.quote(3, rfqs[3], 10_000_000, |_| ());
    market.advance(WINDOW);
    market.advance(WINDOW);
    market.advance(WINDOW);

    let mut explained: Vec<String> = Vec::new();
    for rfq in rfqs {
        let history = market.history(rfq);
        let hold = history.movements.iter().filter(|(_, m)| m.kind == MovementKind::Hold);
        assert_eq!(hold.count(), 1, "{rfq}");
        explained.extend(history.movements.iter().map(|(_, m)| format!("{m:?}")));
    }
    let moved = market.batch.events.iter().filter_map(|event| {
        let Event::Moved(m) = event else { return None };
        let is_ours = m.kind != MovementKind::Deposit && m.amount > Micros::ZERO;
        is_ours.then(|| format!("{m:?}"))
    });
    let mut moved: Vec<String> = moved.collect();
    moved.sort();
    explained.sort();
    assert!(moved.iter().any(|line| line.contains("Compensation")), "{moved:#?}");
    assert_eq!(explained, moved);
}

#[test]
fn a_clearing_of_bundles_is_explained_to_each_as_far_as_it_may_know() {
    let mut market = Market::new();
    let item = Item { quantity: 1, load: 1, reserve: Micros::new(10_000_000) };
    let bundles = BundleTerms {
        items: vec![item; 2],
        free_disposal: false,
        all_or_none: false,
        payment: PaymentRule::Vcg,
        clearing_within: DurationNs::from_millis(1),
        external_solvers: false,
    };
    let reserve = bundles.reserve().unwrap();
    let plain = RfqTerms::plain(market.capability, Currency::USD, reserve);
    let terms = RfqTerms { window: WINDOW, format: Format::Combinatorial, ..plain };
    let client_id = market.client_id();
    let open = OpenRfq { bundles: Some(Box::new(bundles)), ..OpenRfq::plain(client_id, terms) };
    let opened = market.apply(market.agents[0], Command::OpenRfq(Box::new(open)));
    let Event::RfqOpened(RfqOpened { rfq, .. }) = opened else { panic!("{opened:?}") };
    for (number, items, price) in
        [(1, &[0_u8][..], 4_100_000), (2, &[1], 5_200_000), (3, &[0, 1], 13_300_000)]
    {
        let rule = GroupRule::Xor;
        let group = NewGroup { rule, valid_until: TimestampNs::MAX, standby_until: None };
        let (items, price) = (items.iter().copied().collect(), Micros::new(price));
        let quote = QuoteBundles {
            client_id: market.client_id(),
            rfq,
            group: BundleGroup::New(group),
            bundles: vec![Bundle { items, price, latency_ms: 0 }],
            signature: None,
        };
        market.apply(market.agents[number], Command::QuoteBundles(Box::new(quote)));
    }
    let agents = market.agents.clone();
    let texts = |market: &Market| {
        [agents[0], agents[1], agents[3]].map(|asker| market.explain(rfq, asker).unwrap().0)
    };
    assert!(texts(&market).iter().all(|text| !text.contains("4.10") && !text.contains("bundle 0")));

    market.advance(WINDOW);
    // Without the first the best is 6.70, without the second 6.70: both are paid more than they ask.
    let payments = [8_100_000, 9_200_000];
    let payments =
        payments.map(|paid| ProposedPayment { low: Micros::new(paid), high: Micros::new(paid) });
    let proposal = ProposeAllocation {
        rfq,
        winners: vec![0, 1],
        surplus: Micros::new(10_700_000),
        bound: Some(Micros::new(10_700_000)),
        prices: None,
        payments: payments.to_vec(),
    };
    let proposed = market.apply(AgentId::EXCHANGE, Command::ProposeAllocation(Box::new(proposal)));
    assert!(matches!(proposed, Event::AllocationProposed(_)), "{proposed:?}");
    market.advance(DurationNs::ZERO);
    let [buyer, winner, loser] = texts(&market);
    for seen in [
        "asks for 2 items",
        "20.00 USD in all",
        "2 items awarded",
        "gain the buyer 10.70",
        "proven to be the best",
        "by VCG",
        "4.10",
        "13.30",
        "below 9.30",
    ] {
        assert!(buyer.contains(seen), "{seen} in {buyer}");
    }
    assert!(
        winner.contains("by the best allocation there is") && winner.contains("8.10"),
        "{winner}"
    );
    assert!(!winner.contains("5.20") && !winner.contains("13.30"), "{winner}");
    assert!(loser.contains("(items 0,1)") && loser.contains("below 9.30"), "{loser}");
    assert!(!loser.contains("4.10") && !loser.contains("10.70"), "{loser}");
}
