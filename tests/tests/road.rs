//! The whole road over QUIC, in both codecs: from a job spec to a paid contract, and across a
//! restart of the exchange.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_protocol::*;
use gavel_tests::{World, now, private, public, rfq, standing, terms};

#[tokio::test]
async fn a_sealed_rfq_becomes_a_paid_contract() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let ((buyer, _), (fast, _), (cheap, _)) =
            (world.agent().await, world.agent().await, world.agent().await);
        let mut of_buyer = buyer.subscribe(Topic::Private, None).await.unwrap();
        let mut of_fast = fast.subscribe(Topic::Private, None).await.unwrap();
        let mut of_cheap = cheap.subscribe(Topic::Private, None).await.unwrap();
        let mut feed = cheap.subscribe(Topic::Capability(capability), None).await.unwrap();

        let (spec, inputs) = (b"50 invoices".as_slice(), b"the invoices".as_slice());
        let mut asked = rfq(capability, 300);
        asked.spec = buyer.put_blob(spec).await.unwrap();
        asked.inputs = Some(buyer.put_blob(inputs).await.unwrap());
        let opened = buyer.open_rfq(asked).await.unwrap();
        let PublicEvent::RfqAnnounced(announced) = public(&mut feed).await else { panic!() };
        assert_eq!((announced.rfq, announced.terms.spec), (opened.rfq, asked.spec));
        let source = BlobSource::RfqSpec(opened.rfq);
        assert_eq!(cheap.fetch_blob(source).await.unwrap(), spec);

        let until = announced.closes_at;
        fast.place_quote(opened.rfq, Offer::new(Micros::new(40_000_000), until)).await.unwrap();
        cheap.place_quote(opened.rfq, Offer::new(Micros::new(38_250_000), until)).await.unwrap();
        let PrivateEvent::Awarded(awarded) = private(&mut of_cheap).await else { panic!() };
        assert_eq!(private(&mut of_buyer).await, PrivateEvent::Awarded(awarded));
        let PrivateEvent::RfqEnded(ended) = private(&mut of_buyer).await else { panic!() };
        assert_eq!((ended.quotes, ended.result), (2, RfqResult::Awarded));
        let PrivateEvent::QuoteLost(lost) = private(&mut of_fast).await else { panic!() };
        assert_eq!((lost.reason, lost.rank), (LossReason::Cover, Some(2)));
        assert_eq!(lost.winning_price, Some(Micros::new(38_250_000)));

        let contract = awarded.contract;
        let private_inputs = BlobSource::ContractInputs(contract);
        assert_eq!(cheap.fetch_blob(private_inputs).await.unwrap(), inputs);
        let stranger = fast.fetch_blob(private_inputs).await.unwrap_err();
        assert_eq!(stranger.reason(), Some(RejectReason::UnknownBlob));

        cheap.start_work(contract).await.unwrap();
        let deliverable = cheap.put_blob(b"the text").await.unwrap();
        cheap.deliver(contract, deliverable).await.unwrap();
        loop {
            if let PrivateEvent::Delivered(delivered) = private(&mut of_buyer).await {
                assert_eq!(delivered.deliverable, deliverable);
                break;
            }
        }
        let source = BlobSource::Deliverable(contract);
        assert_eq!(buyer.fetch_blob(source).await.unwrap(), b"the text");
        buyer.accept_delivery(contract).await.unwrap();
        loop {
            if let PrivateEvent::ContractSettled(settled) = private(&mut of_cheap).await {
                assert_eq!(settled.released, Micros::new(37_867_500));
                assert_eq!(settled.fee, Micros::new(382_500));
                break;
            }
        }
        let money = &cheap.statement().await.unwrap().accounts[0];
        assert_eq!(money.available, Micros::new(1_037_867_500));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_window_of_zero_is_one_round_trip_to_a_contract() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let ((buyer, _), (provider, _)) = (world.agent().await, world.agent().await);
        let mut events = buyer.subscribe(Topic::Private, None).await.unwrap();
        let mut feed = buyer.subscribe(Topic::Capability(capability), None).await.unwrap();
        provider.set_standing_quote(standing(capability, 1, 30_000_000)).await.unwrap();
        let PublicEvent::StandingQuoteSet(set) = public(&mut feed).await else { panic!() };
        assert_eq!((set.price, set.capacity), (Micros::new(30_000_000), 1_000));
        let opened = buyer.open_rfq(rfq(capability, 0)).await.unwrap();
        let PrivateEvent::Awarded(awarded) = private(&mut events).await else { panic!() };
        assert_eq!((awarded.rfq, awarded.quote), (opened.rfq, QuoteRef::Standing));
        world.stop().await;
    }
}

#[tokio::test]
async fn clients_and_streams_go_on_across_a_restart() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let ((buyer, _), (provider, _)) = (world.agent().await, world.agent().await);
    let mut events = buyer.subscribe(Topic::Private, Some(1)).await.unwrap();
    provider.set_standing_quote(standing(capability, 1, 30_000_000)).await.unwrap();
    let client_id = buyer.next_client_id();
    let terms = rfq(capability, 0);
    let open = Command::OpenRfq(Box::new(OpenRfq::plain(client_id, terms)));
    let first = buyer.call(open.clone()).await.unwrap();
    let PrivateEvent::Awarded(awarded) = private(&mut events).await else { panic!() };

    let world = world.restart().await;
    let again = buyer.call(open).await.unwrap();
    assert!(again.repeated, "the same client id takes effect once, also across a restart");
    assert_eq!(again.outcome, first.outcome);
    let PrivateEvent::RfqEnded(ended) = private(&mut events).await else { panic!() };
    assert_eq!(ended.rfq, awarded.rfq, "the stream goes on where it was");
    provider.start_work(awarded.contract).await.unwrap();
    let started = private(&mut events).await;
    assert!(matches!(started, PrivateEvent::WorkStarted(_)), "{started:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_lost_session_takes_its_quotes_if_asked_to() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let (key, _) = world.enrol().await;
    let (watcher, _) = world.agent().await;
    let mut feed = watcher.subscribe(Topic::Capability(capability), None).await.unwrap();
    let mut config = world.config(&key);
    config.cancel_on_disconnect = true;
    config.grace = DurationNs::ZERO;
    let careful = gavel_client::Client::connect(config).await.unwrap();
    careful.set_standing_quote(standing(capability, 1, 30_000_000)).await.unwrap();
    assert!(matches!(public(&mut feed).await, PublicEvent::StandingQuoteSet(_)));
    // Dropped without a logout: the connection is lost, and with it, at once, the session.
    drop(careful);
    let PublicEvent::StandingQuoteEnded(ended) = public(&mut feed).await else { panic!() };
    assert_eq!(ended.cause, CancelCause::SessionLost);
    world.stop().await;
}

#[tokio::test]
async fn many_copies_of_one_command_have_one_effect() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let (key, _) = world.enrol().await;
    let client_id = ClientId::from_parts(now(), 1);
    let mut terms = rfq(capability, 86_400_000);
    terms.terms = self::terms();
    let open = Command::OpenRfq(Box::new(OpenRfq::plain(client_id, terms)));
    // Each connection takes the session over while the copies of the one before are under way.
    let (mut clients, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let client = world.connect(&key).await;
        for _ in 0..500 {
            waiting.push(client.send(open.clone()).await.unwrap());
        }
        clients.push(client);
    }
    let (mut fresh, mut repeated) = (0, 0);
    for pending in waiting {
        match pending.await {
            Ok(accepted) if accepted.repeated => repeated += 1,
            Ok(_) => fresh += 1,
            Err(error) => assert!(error.reason().is_none(), "superseded, not rejected: {error}"),
        }
    }
    assert!(fresh <= 1 && repeated >= 499, "{fresh} fresh, {repeated} repeated");
    let client = world.connect(&key).await;
    let statement = client.statement().await.unwrap();
    assert_eq!(statement.rfqs.len(), 1);
    assert_eq!(statement.accounts[0].held, Micros::new(50_000_000));
    world.stop().await;
}
