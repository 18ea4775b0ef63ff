//! What a client does with its session: logon, answers, reconnects, streams, blobs, the end.
#![expect(clippy::unwrap_used, reason = "a test says no by panicking")]

mod fake;

use std::time::Duration;

use fake::{CODEC, FakeExchange, FakeFrames, FakeSession, Sent, accepted, assert_closed, halt};
use gavel_client::{
    Client, ClientError, CommandError, EventStream, StreamEvent, StreamItem, Trust,
};
use gavel_protocol::{
    AgentId, BlobAnswer, BlobReady, BlobSource, ClientMessage, CloseReason, Codec, ContractId,
    Digest, Heartbeat, Parties, PrivateEvent, QueryKind, RejectReason, RejectedAnswer,
    ResyncRequired, SequencedAnswer, ServerMessage, SessionId, Statement, StreamPosition,
    Subscribe, Subscribed, TimestampNs, Topic, WorkStarted,
};

#[tokio::test]
async fn a_client_logs_on_with_its_key_and_learns_who_it_is() {
    let exchange = FakeExchange::listen();
    let (client, session) = exchange.connect(exchange.config()).await;
    assert_eq!(session.request.resume, None);
    assert_eq!(session.request.grace, exchange.config().grace);
    assert_eq!(client.identity().agent, AgentId::new(5));
}

#[tokio::test]
async fn a_client_trusts_a_root_if_the_name_is_right() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.trust = Trust::Roots(vec![exchange.certificate()]);
    exchange.connect(config.clone()).await;
    config.server_name = String::from("elsewhere");
    let (refused, _) = tokio::join!(Client::connect(config), exchange.turn_away());
    assert!(matches!(refused.unwrap_err(), ClientError::Handshake(_)));
}

#[tokio::test]
async fn a_server_with_another_certificate_is_not_talked_to() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.trust = FakeExchange::listen().config().trust;
    let (refused, _) = tokio::join!(Client::connect(config), exchange.turn_away());
    assert!(matches!(refused.unwrap_err(), ClientError::Handshake(_)));
}

#[tokio::test]
async fn a_refused_logon_says_so() {
    let exchange = FakeExchange::listen();
    let (refused, ()) = tokio::join!(
        Client::connect(exchange.config()),
        exchange.refuse(CloseReason::LogonRefused)
    );
    assert_closed(&refused.unwrap_err(), CloseReason::LogonRefused);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.connect_timeout = Duration::from_millis(1);
    let error = Client::connect(config).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut(_)));
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let pending = [
        client.send(halt(10)).await.unwrap(),
        client.send(halt(11)).await.unwrap(),
        client.send(halt(12)).await.unwrap(),
    ];
    for number in 1..=3 {
        assert_eq!(session.next_command().await.0, number);
    }
    let busy = ServerMessage::Rejected(RejectedAnswer::of(RejectReason::Busy));
    session.answer(3, accepted(300)).await;
    session.answer(1, busy).await;
    session.answer(2, accepted(200)).await;
    let [first, second, third] = pending;
    let error = first.await.unwrap_err();
    assert_eq!(error.reason(), Some(RejectReason::Busy));
    assert!(error.is_transient());
    assert_eq!(second.await.unwrap().ts_event.nanos(), 200);
    assert_eq!(third.await.unwrap().ts_event.nanos(), 300);
}

#[tokio::test]
async fn the_early_answer_comes_before_the_durable_one() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.sequenced_answers = true;
    let (client, mut session) = exchange.connect(config).await;
    assert!(session.request.sequenced_answers);
    let mut pending = client.send(halt(10)).await.unwrap();
    session.next_command().await;
    let early = SequencedAnswer { ts_event: TimestampNs::from_nanos(7) };
    session.answer(1, ServerMessage::Sequenced(early.clone())).await;
    assert_eq!(pending.sequenced().await, Some(early));
    session.answer(1, accepted(7)).await;
    assert_eq!(pending.await.unwrap().ts_event.nanos(), 7);
}

#[tokio::test]
async fn a_lost_connection_is_resumed_and_what_was_unanswered_is_sent_again() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let first = client.send(halt(10)).await.unwrap();
    let second = client.send(halt(11)).await.unwrap();
    let third = client.send(halt(12)).await.unwrap();
    for _ in 0..3 {
        session.next_command().await;
    }
    session.answer(2, accepted(200)).await;
    assert_eq!(second.await.unwrap().ts_event.nanos(), 200);
    session.close(CloseReason::ShuttingDown);

    let mut session = exchange.accept(50).await;
    assert_eq!(session.request.resume, Some(SessionId::new(99)));
    let (number, id) = session.next_command().await;
    assert_eq!((number, id.raw()), (50, 10));
    let (number, id) = session.next_command().await;
    assert_eq!((number, id.raw()), (51, 12));
    session.answer(51, accepted(510)).await;
    session.answer(50, accepted(500)).await;
    assert_eq!(first.await.unwrap().ts_event.nanos(), 500);
    assert_eq!(third.await.unwrap().ts_event.nanos(), 510);

    let (answer, ()) = tokio::join!(client.call(halt(13)), async {
        assert_eq!(session.next_command().await.0, 52);
        session.answer(52, accepted(520)).await;
    });
    assert_eq!(answer.unwrap().ts_event.nanos(), 520);
}

#[tokio::test]
async fn an_exchange_that_turns_clients_away_for_a_while_is_tried_again() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let pending = client.send(halt(10)).await.unwrap();
    session.next_command().await;
    session.close(CloseReason::Unavailable);
    exchange.refuse(CloseReason::TooManyConnections).await;
    exchange.refuse(CloseReason::Unavailable).await;
    let mut session = exchange.accept(1).await;
    session.next_command().await;
    session.answer(1, accepted(9)).await;
    assert_eq!(pending.await.unwrap().ts_event.nanos(), 9);
}

#[tokio::test]
async fn a_permanent_close_fails_everything_with_its_reason() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let (mut events, _stream) = subscribe(&client, &mut session, 1).await;
    let pending = client.send(halt(10)).await.unwrap();
    session.next_command().await;
    session.close(CloseReason::Superseded);

    let CommandError::Connection(error) = pending.await.unwrap_err() else {
        panic!("nothing was rejected")
    };
    assert_closed(&error, CloseReason::Superseded);
    assert_closed(&client.ended().await, CloseReason::Superseded);
    assert_closed(&client.send(halt(11)).await.err().unwrap(), CloseReason::Superseded);
    assert!(matches!(events.next().await, Some(Err(CommandError::Connection(_)))));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_client_that_cannot_reconnect_in_time_gives_up() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.give_up_after = Duration::ZERO;
    let (client, mut session) = exchange.connect(config).await;
    let pending = client.send(halt(10)).await.unwrap();
    session.next_command().await;
    session.close(CloseReason::ShuttingDown);
    let CommandError::Connection(ClientError::GaveUp { last, .. }) = pending.await.unwrap_err()
    else {
        panic!("the client did not give up")
    };
    assert_closed(&last, CloseReason::ShuttingDown);
}

#[tokio::test]
async fn a_stream_goes_on_after_a_reconnect_without_gap_or_duplicate() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let (mut events, mut stream) = subscribe(&client, &mut session, 7).await;
    for number in 7..=9 {
        fake::write_event(&mut stream, number, &started(number)).await;
    }
    assert_eq!(next_number(&mut events).await, 7);
    assert_eq!(next_number(&mut events).await, 8);
    session.close(CloseReason::SlowConsumer);

    // The reader is at 9 by what it has taken; the server may repeat more than that.
    let mut session = exchange.accept(1).await;
    let from = expect_subscribe(&mut session).await;
    assert!(from.is_some_and(|from| from <= 9), "{from:?}");
    session.answer(1, subscribed(8)).await;
    let mut stream = session.open_stream(Topic::Private, 8).await;
    for number in 8..=11 {
        fake::write_event(&mut stream, number, &started(number)).await;
    }
    for number in 9..=11 {
        assert_eq!(next_number(&mut events).await, number);
    }
    assert_eq!(events.next_stream_seq(), 12);
}

#[tokio::test]
async fn a_stream_that_cannot_be_continued_says_where_it_goes_on() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let (topic, oldest) = (Topic::Private, StreamPosition { stream_seq: 80 });
    let next = StreamPosition { stream_seq: 90 };
    let (events, _stream) = tokio::join!(client.subscribe(topic, Some(5)), async {
        assert_eq!(expect_subscribe(&mut session).await, Some(5));
        let resync = ResyncRequired { topic, oldest, next };
        session.answer(1, ServerMessage::ResyncRequired(resync)).await;
        assert_eq!(expect_subscribe(&mut session).await, Some(90));
        session.answer(2, subscribed(90)).await;
        let mut stream = session.open_stream(topic, 90).await;
        fake::write_event(&mut stream, 90, &started(90)).await;
        stream
    });
    let mut events = events.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), StreamItem::Resync { next: 90 });
    assert_eq!(next_number(&mut events).await, 90);
}

#[tokio::test]
async fn a_gap_is_never_passed_over_in_silence() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let (mut events, mut stream) = subscribe(&client, &mut session, 1).await;
    fake::write_event(&mut stream, 1, &started(1)).await;
    fake::write_event(&mut stream, 4, &started(4)).await;
    let heartbeat = ServerMessage::Heartbeat(Heartbeat {});
    fake::write(&mut stream, CODEC, 4, &heartbeat).await;
    fake::write(&mut stream, CODEC, 6, &heartbeat).await;
    assert_eq!(next_number(&mut events).await, 1);
    assert_eq!(events.next().await.unwrap().unwrap(), StreamItem::Resync { next: 4 });
    assert_eq!(next_number(&mut events).await, 4);
    assert_eq!(events.next().await.unwrap().unwrap(), StreamItem::Resync { next: 7 });
}

#[tokio::test]
async fn a_topic_that_is_refused_is_an_error_and_a_dropped_stream_is_unsubscribed() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let (refused, ()) = tokio::join!(client.subscribe(Topic::Exchange, None), async {
        expect_subscribe(&mut session).await;
        let unknown = RejectedAnswer::of(RejectReason::UnknownTopic);
        session.answer(1, ServerMessage::Rejected(unknown)).await;
    });
    assert_eq!(refused.err().unwrap().reason(), Some(RejectReason::UnknownTopic));

    let (events, _stream) = subscribe(&client, &mut session, 1).await;
    drop(events);
    let (_, message) = session.next_message().await;
    assert!(matches!(message, ClientMessage::Unsubscribe(u) if u.topic == Topic::Private));
}

#[tokio::test]
async fn a_statement_is_asked_for_again_after_a_reconnect() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let statement = Statement {
        ts_event: TimestampNs::from_nanos(77),
        reputation_bps: 5_000,
        suspended_until: None,
        accounts: Vec::new(),
        rfqs: Vec::new(),
        quotes: Vec::new(),
        standing: Vec::new(),
        contracts: Vec::new(),
        truncated: false,
    };
    let (answer, ()) = tokio::join!(client.statement(), async {
        expect_query(&mut session).await;
        session.close(CloseReason::HeartbeatMissed);
        session = exchange.accept(30).await;
        expect_query(&mut session).await;
        session.answer(30, ServerMessage::Statement(statement.clone())).await;
    });
    assert_eq!(answer.unwrap(), statement);
}

#[tokio::test]
async fn a_blob_is_stored_and_fetched_by_its_digest() {
    let exchange = FakeExchange::listen();
    let (client, session) = exchange.connect(exchange.config()).await;
    let bytes = vec![42; 100_000];
    let (stored, received) = tokio::join!(client.put_blob(&bytes), async {
        let (mut send, recv) = session.connection.accept_bi().await.unwrap();
        let mut frames = FakeFrames::new(recv, CODEC);
        let (_, Sent::Message(ClientMessage::BlobPut(put))) = frames.next().await else {
            panic!("a blob stream begins with what it is for")
        };
        let received = frames.rest().await;
        assert_eq!(put.length, u64::try_from(received.len()).unwrap());
        let stored = ServerMessage::BlobStored(BlobAnswer { digest: put.digest });
        fake::write(&mut send, CODEC, 0, &stored).await;
        received
    });
    let digest = stored.unwrap();
    assert_eq!(received, bytes);

    let (fetched, ()) = tokio::join!(
        client.fetch_blob(BlobSource::Own(digest)),
        send_blob(&session, digest, &bytes)
    );
    assert_eq!(fetched.unwrap(), bytes);

    let (fetched, ()) = tokio::join!(
        client.fetch_blob(BlobSource::Own(digest)),
        send_blob(&session, digest, &bytes[1..])
    );
    let error = fetched.unwrap_err();
    assert!(matches!(error, CommandError::Connection(ClientError::BlobCorrupt)), "{error:?}");
}

#[tokio::test]
async fn closing_logs_out_and_fails_what_is_unanswered() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let pending = client.send(halt(10)).await.unwrap();
    session.next_command().await;
    tokio::join!(client.clone().close(), async {
        assert!(matches!(session.next_message().await.1, ClientMessage::Logout(_)));
        session.close(CloseReason::Goodbye);
    });
    let error = pending.await.unwrap_err();
    assert!(matches!(error, CommandError::Connection(ClientError::LoggedOut)), "{error:?}");
    assert!(matches!(client.ended().await, ClientError::LoggedOut));
}

#[tokio::test]
async fn the_connection_ends_with_the_last_who_could_use_it() {
    let exchange = FakeExchange::listen();
    let (client, mut session) = exchange.connect(exchange.config()).await;
    let pending = client.send(halt(10)).await.unwrap();
    drop(client);
    session.next_command().await;
    session.answer(1, accepted(1)).await;
    pending.await.unwrap();
    session.connection.closed().await;
}

#[tokio::test]
async fn client_ids_are_unique_and_carry_the_time() {
    let exchange = FakeExchange::listen();
    let (client, _session) = exchange.connect(exchange.config()).await;
    let ids: Vec<_> = (0..1_000).map(|_| client.next_client_id()).collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert!(ids[0].created() > TimestampNs::from_nanos(1_700_000_000_000_000_000));
}

#[tokio::test]
async fn a_client_may_speak_json() {
    let exchange = FakeExchange::listen();
    let mut config = exchange.config();
    config.codec = Codec::Json;
    let (client, mut session) = exchange.connect(config).await;
    let (answer, ()) = tokio::join!(client.call(halt(10)), async {
        assert_eq!(session.next_command().await.1.raw(), 10);
        session.answer(1, accepted(3)).await;
    });
    assert_eq!(answer.unwrap().ts_event.nanos(), 3);
}

/// Subscribes to the private stream, whose next event is `next`.
async fn subscribe(
    client: &Client,
    session: &mut FakeSession,
    next: u64,
) -> (EventStream, quinn::SendStream) {
    let (events, stream) = tokio::join!(client.subscribe(Topic::Private, None), async {
        let (number, message) = session.next_message().await;
        assert!(matches!(message, ClientMessage::Subscribe(Subscribe { from: None, .. })));
        session.answer(number, subscribed(next)).await;
        session.open_stream(Topic::Private, next).await
    });
    (events.unwrap(), stream)
}

async fn expect_subscribe(session: &mut FakeSession) -> Option<u64> {
    let (_, message) = session.next_message().await;
    let ClientMessage::Subscribe(subscribe) = message else {
        panic!("expected a subscription: {message:?}")
    };
    subscribe.from.map(|from| from.stream_seq)
}

async fn expect_query(session: &mut FakeSession) {
    let (_, message) = session.next_message().await;
    assert!(matches!(message, ClientMessage::Query(q) if q.kind == QueryKind::Statement));
}

/// Answers a request for a blob with `bytes`.
async fn send_blob(session: &FakeSession, digest: Digest, bytes: &[u8]) {
    let (mut send, recv) = session.connection.accept_bi().await.unwrap();
    let (_, sent) = FakeFrames::new(recv, CODEC).next().await;
    assert!(matches!(sent, Sent::Message(ClientMessage::BlobGet(_))), "{sent:?}");
    let length = u64::try_from(bytes.len()).unwrap();
    fake::write(&mut send, CODEC, 0, &ServerMessage::BlobReady(BlobReady { digest, length })).await;
    send.write_all(bytes).await.unwrap();
}

async fn next_number(events: &mut EventStream) -> u64 {
    let item = events.next().await.unwrap().unwrap();
    let StreamItem::Event(number, StreamEvent::Private(event)) = item else {
        panic!("expected a private event: {item:?}")
    };
    assert_eq!(event, started(number), "the event that belongs to the number");
    number
}

fn started(contract: u64) -> PrivateEvent {
    let parties = Parties { buyer: AgentId::new(1), provider: AgentId::new(2) };
    PrivateEvent::WorkStarted(WorkStarted { contract: ContractId::new(contract), parties })
}

fn subscribed(next: u64) -> ServerMessage {
    let next = StreamPosition { stream_seq: next };
    ServerMessage::Subscribed(Subscribed { topic: Topic::Private, next })
}
