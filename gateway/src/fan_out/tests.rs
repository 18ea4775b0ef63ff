//! The fan-out fed with hand-made batches: who gets what, with which number, and who gets nothing.

use gavel_protocol::{
    Acceptance, AccountEnrolled, AccountId, Bundle, BundleQuoted, BundleRef, BundlesQuoted,
    CancelCause, ContractSettled, ContractVerified, Disclosure, Frames, GroupRule, Halted, Items,
    Logon, LossReason, Micros, OpenRfq, Outcome, Parties, PrivateEvent, PublicEvent, PublicKey,
    QuoteCanceled, QuoteLost, RankedResult, RejectReason, Rejected, Reopened, Repeated,
    RfqAnnounced, RfqCanceled, RfqClosed, RfqClosedPublicly, RfqEnded, RfqHandle, RfqResult,
    RfqTaken, RfqTakenPublicly, SessionEnded, StandingQuoteCanceled, Statement, StreamPosition,
    Topic, WorkStarted,
};

use super::*;
use crate::connection::Claim;
use crate::limits::{EVENTS_PER_STREAM_KEPT, SESSION_OUTPUT_BYTES_MAX};
use crate::samples::{
    BUYER, Batches, CAPABILITY, CONTRACT, PARTIES, PROVIDER, QUOTE, RFQ, STRANGER, any_command, at,
    awarded, delivered, enrolled, founded, listed, open_rfq, quote_placed, ranked, rfq_closed,
    rfq_opened, standing_quote_set,
};
use crate::session::SubscribeResult;
use crate::streams::Subscription;

/// An event or message with its number, whichever kind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Message(u64, ServerMessage),
    Private(u64, PrivateEvent),
    Public(u64, PublicEvent),
}

/// A fan-out, and the batches that are made for it.
struct World {
    fan_out: Arc<FanOut>,
    batches: Batches,
}

impl World {
    fn new() -> Self {
        let mut world = Self { fan_out: FanOut::new(), batches: Batches::default() };
        let key = |n| PublicKey::new([n; 32]);
        world.events(&[
            Event::Founded(founded(key(1))),
            Event::AgentEnrolled(enrolled(BUYER, key(2))),
            Event::AgentEnrolled(enrolled(PROVIDER, key(3))),
            Event::AgentEnrolled(enrolled(STRANGER, key(4))),
        ]);
        world
    }

    fn events(&mut self, events: &[Event]) {
        self.batches.events(events);
        self.publish();
    }

    fn publish(&mut self) {
        let batch = self.batches.take();
        self.fan_out.published(&batch);
    }

    fn connect(&self, codec: Codec) -> Arc<Connection> {
        self.fan_out.connections.open(codec)
    }

    fn subscribe(
        &self,
        agent: AgentId,
        topic: Topic,
        from: Option<u64>,
    ) -> (SubscribeResult, Option<Subscriber>) {
        let connection = self.connect(Codec::Rkyv);
        let key = StreamKey::of(topic, agent);
        let (result, subscription) =
            lock(&self.fan_out.streams).subscribe(topic, key, from, &connection);
        let subscriber =
            subscription.map(|subscription| Subscriber { connection, key, subscription });
        (result, subscriber)
    }

    /// Subscribes to what comes next, past the opening frame.
    fn listen(&self, agent: AgentId, topic: Topic) -> Subscriber {
        let subscriber = self.subscribe(agent, topic, None).1.unwrap();
        subscriber.take();
        subscriber
    }
}

struct Subscriber {
    connection: Arc<Connection>,
    key: StreamKey,
    subscription: Arc<Subscription>,
}

impl Subscriber {
    fn take(&self) -> Vec<Got> {
        decode(self.connection.codec, &self.subscription.buffer.take())
    }

    fn private(&self) -> Vec<PrivateEvent> {
        let private = |got| match got {
            Got::Private(_, event) => event,
            Got::Message(..) | Got::Public(..) => panic!("a private event expected: {got:?}"),
        };
        self.take().into_iter().map(private).collect()
    }

    fn public(&self) -> Vec<PublicEvent> {
        let public = |got| match got {
            Got::Public(_, event) => event,
            Got::Message(..) | Got::Private(..) => panic!("a public event expected: {got:?}"),
        };
        self.take().into_iter().map(public).collect()
    }
}

fn answers(connection: &Connection) -> Vec<Got> {
    decode(connection.codec, &connection.session_stream.take())
}

fn decode(codec: Codec, bytes: &[u8]) -> Vec<Got> {
    let mut frames = Frames::new(bytes);
    let mut all = Vec::new();
    while let Some((header, payload)) = frames.next_frame().unwrap() {
        let (id, number) = (header.template, header.number);
        let message = ServerMessage::decode(codec, id, payload)
            .map(|message| Got::Message(number, message.unwrap()));
        let private = PrivateEvent::decode(codec, id, payload)
            .map(|event| Got::Private(number, event.unwrap()));
        let public = PublicEvent::decode(codec, id, payload)
            .map(|event| Got::Public(number, event.unwrap()));
        all.push(message.or(private).or(public).unwrap());
    }
    assert_eq!(frames.consumed(), bytes.len(), "whole frames only");
    all
}

fn accepted(session_seq: u64, ts_event: u64, repeated: bool, outcome: Outcome) -> Got {
    let accepted = Accepted { ts_event: at(ts_event), repeated, outcome };
    Got::Message(session_seq, ServerMessage::Accepted(accepted))
}

fn numbers(got: &[Got]) -> Vec<u64> {
    let number = |got: &Got| match got {
        Got::Message(number, _) | Got::Private(number, _) | Got::Public(number, _) => *number,
    };
    got.iter().map(number).collect()
}

#[test]
fn answers_go_to_their_origin_in_its_codec_and_in_their_order() {
    let mut world = World::new();
    let (first, second) = (world.connect(Codec::Rkyv), world.connect(Codec::Json));
    let to = |connection: &Connection, session_seq| {
        Some(Origin { connection: connection.id, session_seq, part: Part::WHOLE })
    };
    let opened = Event::RfqOpened(rfq_opened());
    let rejected = Event::Rejected(Rejected { reason: RejectReason::Halted });
    let outcome = Outcome::Quote(QUOTE);
    let repeated = Event::Repeated(Repeated { ts_event: at(3), outcome });
    world
        .batches
        .step(to(&first, 7), any_command(), &[opened])
        .step(to(&second, 1), any_command(), &[rejected])
        .step(to(&first, 8), any_command(), &[repeated])
        .step(
            Some(Origin { connection: 999, session_seq: 1, part: Part::WHOLE }),
            any_command(),
            &[opened],
        );
    world.publish();
    let handle = RfqHandle { rfq: RFQ, closes_at: rfq_opened().closes_at };
    assert_eq!(
        answers(&first),
        [accepted(7, 5, false, Outcome::Rfq(handle)), accepted(8, 3, true, outcome)]
    );
    let reason = RejectedAnswer::of(RejectReason::Halted);
    assert_eq!(answers(&second), [Got::Message(1, ServerMessage::Rejected(reason))]);
}

#[test]
fn a_statement_and_an_early_answer_go_to_their_origin() {
    let mut world = World::new();
    let connection = world.connect(Codec::Json);
    let origin = Origin { connection: connection.id, session_seq: 4, part: Part::WHOLE };
    world.fan_out.sequenced(origin, at(9));
    let early = ServerMessage::Sequenced(SequencedAnswer { ts_event: at(9) });
    assert_eq!(answers(&connection), [Got::Message(4, early)]);
    let statement = Statement {
        ts_event: at(9),
        reputation_bps: 5_000,
        suspended_until: None,
        accounts: vec![],
        rfqs: vec![],
        quotes: vec![],
        standing: Vec::new(),
        contracts: vec![],
        truncated: false,
    };
    let mut batch = world.batches.take();
    let answer = QueryAnswer::Statement(Box::new(statement.clone()));
    batch.query_answers.push((origin, answer));
    world.fan_out.published(&batch);
    assert_eq!(answers(&connection), [Got::Message(4, ServerMessage::Statement(statement))]);
}

#[test]
fn nothing_about_a_sealed_quote_reaches_anybody_but_its_provider_before_the_close() {
    let mut world = World::new();
    let topics = [Topic::Private, Topic::Exchange, Topic::Capability(CAPABILITY)];
    world.events(&[Event::CapabilityListed(listed()), Event::RfqOpened(rfq_opened())]);
    let listeners: Vec<Subscriber> = [BUYER, PROVIDER, STRANGER]
        .into_iter()
        .flat_map(|agent| topics.map(|topic| (agent, topic)))
        .map(|(agent, topic)| world.listen(agent, topic))
        .collect();
    let provider = world.connect(Codec::Rkyv);
    let metrics = || crate::metrics::render(&world.fan_out.metrics.registry()).unwrap();
    let (ts_before, metrics_before) = (world.fan_out.ts_public(), metrics());

    let placed = Event::QuotePlaced(quote_placed());
    let rejected = Event::Rejected(Rejected { reason: RejectReason::QuoteExists });
    let canceled = Event::QuoteCanceled(QuoteCanceled {
        quote: QUOTE,
        rfq: RFQ,
        provider: PROVIDER,
        cause: CancelCause::Agent,
    });
    let quoted = Event::BundlesQuoted(BundlesQuoted {
        quote: QUOTE,
        rfq: RFQ,
        provider: PROVIDER,
        rule: GroupRule::Xor,
        bundles: 1,
    });
    let bundle = Event::BundleQuoted(BundleQuoted {
        bundle: BundleRef { quote: QUOTE, number: 0 },
        rfq: RFQ,
        provider: PROVIDER,
        offer: Bundle { items: Items::first(1), price: Micros::new(30), latency_ms: 0 },
    });
    let steps = [&[placed][..], &[quoted, bundle], &[rejected], &[canceled]];
    for (session_seq, events) in (1..).zip(steps) {
        let origin = Some(Origin { connection: provider.id, session_seq, part: Part::WHOLE });
        world.batches.step(origin, any_command(), events);
    }
    world.fan_out.published(&world.batches.take());

    assert_eq!(numbers(&answers(&provider)), [1, 2, 3, 4]);
    for listener in &listeners {
        assert_eq!(listener.take(), [], "{:?}", listener.key);
        let mut heartbeat = Vec::new();
        listener.subscription.heartbeat(&mut heartbeat);
        let last = numbers(&decode(Codec::Rkyv, &heartbeat))[0];
        assert!(last <= 1, "a heartbeat's number does not move: {last}");
    }
    assert_eq!(world.fan_out.ts_public(), ts_before, "nor does the time that a challenge tells");
    assert_eq!(metrics(), metrics_before);
}

#[test]
fn a_close_tells_the_buyer_each_loser_and_the_public_their_own_side() {
    for disclosure in [Disclosure::Nothing, Disclosure::ClearingPrice] {
        let mut world = World::new();
        let [buyer, winner, loser] =
            [BUYER, PROVIDER, STRANGER].map(|agent| world.listen(agent, Topic::Private));
        let public = world.listen(BUYER, Topic::Capability(CAPABILITY));
        let ranking = [
            ranked(PROVIDER, 1, RankedResult::Won),
            ranked(STRANGER, 2, RankedResult::Lost(LossReason::Cover)),
        ];
        let closed = RfqClosed { disclosure, ..rfq_closed(2) };
        let events = [Event::RfqClosed(closed), Event::Awarded(awarded())];
        world.batches.ranked_step(None, any_command(), &events, &ranking);
        world.publish();

        let price = Some(Micros::new(30));
        let disclosed = price.filter(|_| disclosure == Disclosure::ClearingPrice);
        let result = RfqResult::Awarded;
        let ended = RfqEnded { rfq: RFQ, result, quotes: 2, awarded: 1, clearing_price: price };
        let award = PrivateEvent::Awarded(awarded());
        assert_eq!(buyer.private(), [PrivateEvent::RfqEnded(ended), award.clone()]);
        assert_eq!(winner.private(), [award]);
        let lost = QuoteLost {
            rfq: RFQ,
            quote: ranking[1].quote,
            reason: LossReason::Cover,
            rank: Some(2),
            winning_price: disclosed,
        };
        assert_eq!(loser.private(), [PrivateEvent::QuoteLost(lost)]);
        let closed = RfqClosedPublicly { rfq: RFQ, result, awarded: 1, clearing_price: disclosed };
        assert_eq!(public.public(), [PublicEvent::RfqClosedPublicly(closed)]);
    }
}

#[test]
fn the_losers_of_a_canceled_rfq_have_no_rank_and_each_event_comes_once() {
    let mut world = World::new();
    let (buyer, loser) =
        (world.listen(BUYER, Topic::Private), world.listen(PROVIDER, Topic::Private));
    let public = world.listen(STRANGER, Topic::Capability(CAPABILITY));
    let closed = RfqClosed { result: RfqResult::Canceled, clearing_price: None, ..rfq_closed(1) };
    let canceled = RfqCanceled { rfq: RFQ, buyer: BUYER, capability: CAPABILITY };
    let ranking = [ranked(PROVIDER, 0, RankedResult::Lost(LossReason::RfqCanceled))];
    let events = [Event::RfqCanceled(canceled), Event::RfqClosed(closed)];
    world.batches.ranked_step(None, any_command(), &events, &ranking);
    world.publish();
    let events = loser.private();
    let [PrivateEvent::QuoteLost(lost)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((lost.rank, lost.reason), (None, LossReason::RfqCanceled));
    assert!(matches!(buyer.private()[..], [PrivateEvent::RfqEnded(_)]));
    assert!(matches!(public.public()[..], [PublicEvent::RfqClosedPublicly(_)]));
}

#[test]
fn what_is_taken_of_a_directed_rfq_is_told_to_the_invited_alone() {
    for invited in [vec![], vec![PROVIDER]] {
        let mut world = World::new();
        let asked = world.listen(PROVIDER, Topic::Private);
        let public = world.listen(STRANGER, Topic::Capability(CAPABILITY));
        let is_directed = !invited.is_empty();
        let open = Command::OpenRfq(Box::new(OpenRfq { invited, ..open_rfq() }));
        world.batches.step(None, open, &[Event::RfqOpened(rfq_opened())]);
        world.publish();
        asked.take();
        public.take();
        let (rfq, price, quantity, remaining) = (RFQ, Micros::new(30), 1, 1);
        let (capability, contract) = (CAPABILITY, CONTRACT);
        let taken = RfqTaken { rfq, capability, contract, price, quantity, remaining };
        world.events(&[Event::RfqTaken(taken)]);
        let told = RfqTakenPublicly { rfq, price, quantity, remaining };
        let (invited, public) = (asked.private(), public.public());
        if is_directed {
            assert_eq!(invited, [PrivateEvent::InvitedRfqTaken(told)]);
            assert_eq!(public, []);
        } else {
            assert_eq!(invited, []);
            assert_eq!(public, [PublicEvent::RfqTakenPublicly(told)]);
        }
    }
}

#[test]
fn an_announced_rfq_shows_neither_its_reserve_nor_its_inputs() {
    let mut world = World::new();
    let public = world.listen(STRANGER, Topic::Capability(CAPABILITY));
    world.events(&[Event::RfqOpened(rfq_opened())]);
    assert_eq!(
        public.public(),
        [PublicEvent::RfqAnnounced(Box::new(RfqAnnounced::of(&rfq_opened(), &open_rfq())))]
    );
}

#[test]
fn the_life_of_a_contract_goes_to_both_parties_and_to_nobody_else() {
    let mut world = World::new();
    let parties = [BUYER, PROVIDER].map(|agent| world.listen(agent, Topic::Private));
    let stranger = world.listen(STRANGER, Topic::Private);
    let (contract, settled) = (CONTRACT, Micros::new(30));
    let started = WorkStarted { contract, parties: PARTIES };
    let verified = ContractVerified { contract, parties: PARTIES, acceptance: Acceptance::Silence };
    let settled = ContractSettled {
        contract,
        parties: PARTIES,
        released: settled,
        penalty: Micros::ZERO,
        fee: Micros::ZERO,
    };
    world.events(&[
        Event::WorkStarted(started),
        Event::Delivered(delivered()),
        Event::ContractVerified(verified),
        Event::ContractSettled(settled),
    ]);
    for party in parties {
        assert_eq!(
            party.private(),
            [
                PrivateEvent::WorkStarted(started),
                PrivateEvent::Delivered(delivered()),
                PrivateEvent::ContractVerified(verified),
                PrivateEvent::ContractSettled(settled),
            ]
        );
    }
    assert_eq!(stranger.take(), []);
}

#[test]
fn an_agent_on_both_sides_is_told_once() {
    let mut world = World::new();
    let buyer = world.listen(BUYER, Topic::Private);
    let parties = Parties { buyer: BUYER, provider: BUYER };
    world.events(&[Event::WorkStarted(WorkStarted { contract: CONTRACT, parties })]);
    assert_eq!(buyer.take().len(), 1);
}

#[test]
fn a_quote_that_ends_without_its_agent_is_told_to_it_alone() {
    for (cause, told) in [
        (CancelCause::Agent, 0),
        (CancelCause::SessionLost, 1),
        (CancelCause::Expired, 1),
        (CancelCause::UsedUp, 1),
    ] {
        let mut world = World::new();
        let provider = world.listen(PROVIDER, Topic::Private);
        let public = world.listen(STRANGER, Topic::Capability(CAPABILITY));
        let sealed = QuoteCanceled { quote: QUOTE, rfq: RFQ, provider: PROVIDER, cause };
        world.events(&[Event::QuoteCanceled(sealed)]);
        assert_eq!(provider.take().len(), told);
        assert_eq!(public.take(), []);
        let standing = StandingQuoteCanceled {
            capability: CAPABILITY,
            provider: PROVIDER,
            revision: 1,
            cause,
        };
        world.events(&[Event::StandingQuoteCanceled(standing)]);
        assert_eq!(provider.take().len(), told);
        assert_eq!(public.public(), [PublicEvent::StandingQuoteEnded(standing)]);
    }
}

#[test]
fn what_concerns_everybody_goes_to_the_exchanges_topic() {
    let mut world = World::new();
    let exchange = world.listen(STRANGER, Topic::Exchange);
    let other = world.listen(STRANGER, Topic::Capability(CAPABILITY));
    let account = AccountEnrolled { account: AccountId::new(5), transaction_max: Micros::new(5) };
    world.events(&[
        Event::CapabilityListed(listed()),
        Event::Halted(Halted { capability: None }),
        Event::AccountEnrolled(account),
        Event::Reopened(Reopened { capability: None }),
    ]);
    assert_eq!(
        exchange.public(),
        [
            PublicEvent::CapabilityListed(listed()),
            PublicEvent::Halted(Halted { capability: None }),
            PublicEvent::Reopened(Reopened { capability: None }),
        ]
    );
    assert_eq!(other.take(), []);
}

#[test]
fn streams_are_numbered_from_one_and_resume_without_a_gap_or_a_duplicate() {
    let mut world = World::new();
    let set = |revision| Event::StandingQuoteSet(standing_quote_set(revision));
    world.events(&[set(1), set(2), set(3)]);
    let topic = Topic::Capability(CAPABILITY);
    let (result, subscriber) = world.subscribe(STRANGER, topic, Some(2));
    assert_eq!(result, SubscribeResult::Opened { next: 2 });
    let subscriber = subscriber.unwrap();
    world.events(&[set(4), set(5)]);
    let got = subscriber.take();
    let next = StreamPosition { stream_seq: 2 };
    let opened = ServerMessage::StreamOpened(gavel_protocol::StreamOpened { topic, next });
    assert_eq!(got[0], Got::Message(0, opened));
    let expected: Vec<Got> = (2..=5)
        .map(|n| Got::Public(n, PublicEvent::StandingQuoteSet(standing_quote_set(n))))
        .collect();
    assert_eq!(got[1..], expected);

    let mut heartbeat = Vec::new();
    subscriber.subscription.heartbeat(&mut heartbeat);
    assert_eq!(numbers(&decode(Codec::Rkyv, &heartbeat)), [5]);
    world.events(&[set(6)]);
    heartbeat.clear();
    subscriber.subscription.heartbeat(&mut heartbeat);
    assert!(heartbeat.is_empty(), "it must not overtake the event");
}

#[test]
fn what_is_forgotten_or_has_not_happened_requires_a_resync() {
    let mut world = World::new();
    let kept = EVENTS_PER_STREAM_KEPT as u64;
    let set: Vec<Event> =
        (1..=kept + 1).map(|n| Event::StandingQuoteSet(standing_quote_set(n))).collect();
    world.events(&set);
    let topic = Topic::Capability(CAPABILITY);
    let (oldest, next) = (2, kept + 2);
    for from in [0, 1, kept + 3, u64::MAX] {
        let (result, subscriber) = world.subscribe(STRANGER, topic, Some(from));
        assert_eq!(result, SubscribeResult::Resync { oldest, next }, "from {from}");
        assert!(subscriber.is_none());
    }
    for from in [oldest, next] {
        let (result, subscriber) = world.subscribe(STRANGER, topic, Some(from));
        assert_eq!(result, SubscribeResult::Opened { next: from });
        let events = usize::try_from(next - from).unwrap();
        assert_eq!(subscriber.unwrap().take().len(), 1 + events);
    }
}

#[test]
fn after_the_end_of_a_subscription_nothing_comes_any_more() {
    let mut world = World::new();
    let gone = world.listen(STRANGER, Topic::Exchange);
    let stays = world.listen(BUYER, Topic::Exchange);
    lock(&world.fan_out.streams).unsubscribe(gone.key, &gone.subscription);
    world.events(&[Event::Halted(Halted { capability: None })]);
    assert_eq!(gone.take(), []);
    assert_eq!(stays.take().len(), 1);
}

#[test]
fn a_slow_consumer_is_closed_and_the_others_get_everything() {
    let mut world = World::new();
    let topic = Topic::Capability(CAPABILITY);
    let (slow, quick) = (world.listen(STRANGER, topic), world.listen(BUYER, topic));
    let set = [Event::StandingQuoteSet(standing_quote_set(1)); 1_000];
    let (mut bytes, mut batches) = (0, 0);
    while bytes <= SESSION_OUTPUT_BYTES_MAX {
        assert_eq!(slow.connection.close_reason(), None, "after {batches} batches");
        world.events(&set);
        let frames = quick.subscription.buffer.take();
        quick.connection.sent(&quick.subscription.buffer, frames.len());
        assert_eq!(decode(Codec::Rkyv, &frames).len(), set.len());
        bytes += frames.len();
        batches += 1;
    }
    assert_eq!(slow.connection.close_reason(), Some(CloseReason::SlowConsumer));
    assert_eq!(quick.connection.close_reason(), None);
}

/// Publishes the core's word on a logon of `connection`.
fn log_on(world: &mut World, connection: &Connection, session: u64, event: Option<Event>) {
    connection.claim(Claim { agent: BUYER, grace: gavel_protocol::DurationNs::ZERO });
    let logged_on = Event::LoggedOn(gavel_protocol::LoggedOn {
        agent: BUYER,
        session: SessionId::new(session),
        resumed: false,
    });
    let command = Command::Logon(Logon { resume: None, cancel_on_disconnect: false });
    let origin = Origin { connection: connection.id, session_seq: 0, part: Part::WHOLE };
    world.batches.step(Some(origin), command, &[event.unwrap_or(logged_on)]);
    world.publish();
}

#[test]
fn a_newer_logon_of_the_same_agent_supersedes_the_older_connection() {
    let mut world = World::new();
    let (old, new) = (world.connect(Codec::Rkyv), world.connect(Codec::Rkyv));
    log_on(&mut world, &old, 70, None);
    assert_eq!(old.agent(), Some(BUYER));
    log_on(&mut world, &new, 71, None);
    assert_eq!(old.close_reason(), Some(CloseReason::Superseded));
    assert_eq!(new.close_reason(), None);
    let ended = |session| {
        Event::SessionEnded(SessionEnded {
            agent: BUYER,
            session: SessionId::new(session),
            cancels_quotes: false,
        })
    };
    world.events(&[ended(70)]);
    assert_eq!(new.close_reason(), None, "the end of the old session is not its business");
    world.events(&[ended(71)]);
    assert_eq!(new.close_reason(), Some(CloseReason::HeartbeatMissed));
    assert_eq!(world.fan_out.sessions.count(), 0);
}

#[test]
fn a_logon_that_the_core_rejects_is_refused() {
    let mut world = World::new();
    let connection = world.connect(Codec::Rkyv);
    let rejected = Event::Rejected(Rejected { reason: RejectReason::TableFull });
    log_on(&mut world, &connection, 70, Some(rejected));
    assert_eq!(connection.close_reason(), Some(CloseReason::LogonRefused));
    assert_eq!(connection.agent(), None);
}

#[test]
fn once_the_journal_fails_every_connection_is_closed_as_unavailable() {
    let world = World::new();
    let connection = world.connect(Codec::Rkyv);
    assert!(!world.fan_out.has_journal_failed());
    world.fan_out.journal_failed();
    assert!(world.fan_out.has_journal_failed());
    assert_eq!(connection.close_reason(), Some(CloseReason::Unavailable));
}
