//! Signatures over QUIC: what is signed counts for its agent, its command and its RFQ; and an
//! exchange may ask for it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_client::{Client, Config, Envelope, NewRfq, RfqRef, Signer};
use gavel_protocol::*;
use gavel_tests::{
    NAME, Trader, World, bundle, group, next_private, next_public, rfq, rfq_for_items, standing,
    terms,
};

/// Longer than any test takes.
const WINDOW_MS: u64 = 600_000;

const REQUIRED: Settings =
    Settings { fee_ppm: 10_000, signatures_required: true, quotes_per_s_max: 0 };

fn offer(price: i64) -> Offer {
    Offer::new(Micros::new(price), TimestampNs::MAX)
}

async fn reason(client: &Client, command: Command) -> Option<RejectReason> {
    client.call(command).await.err().and_then(|error| error.reason())
}

/// Opens an RFQ that two providers are told of, and returns what they are told.
async fn open(buyer: &Trader, providers: &mut [Trader], capability: CapabilityId) -> RfqAnnounced {
    let terms = RfqTerms { close_early: true, ..rfq(capability, WINDOW_MS) };
    let invited = providers.iter().map(|provider| provider.id).collect();
    let dutch = None;
    buyer.client.open_rfq(NewRfq { terms, invited, dutch, bundles: None }).await.unwrap();
    let mut announced = None;
    for provider in providers {
        announced = Some(*next_private!(&mut provider.events, Invited));
    }
    announced.unwrap()
}

#[tokio::test]
async fn a_signed_rfq_gets_signed_quotes_and_is_awarded() {
    for codec in Codec::ALL {
        let mut world = World::start_with(codec, REQUIRED).await;
        let capability = world.capability("ocr").await;
        let buyer = world.trader().await;
        let mut providers = [world.trader().await, world.trader().await];
        let announced = open(&buyer, &mut providers, capability).await;
        assert!(announced.signed.is_some());
        let first = providers[0].client.place_quote(&announced, offer(40_000_000)).await.unwrap();
        let client = &providers[0].client;
        client.amend_quote(&announced, first, offer(31_000_000)).await.unwrap();
        providers[1].client.place_quote(&announced, offer(32_000_000)).await.unwrap();
        let awarded = next_private!(&mut providers[0].events, Awarded);
        assert_eq!(awarded.price, Micros::new(31_000_000));
        world.stop().await;
    }
}

#[tokio::test]
async fn where_signatures_are_asked_for_the_unsigned_is_rejected() {
    let mut world = World::start_with(Codec::Json, REQUIRED).await;
    let capability = world.capability("ocr").await;
    let (buyer, mut providers) = (world.trader().await, [world.trader().await]);
    let (key, _) = world.enrol().await;
    let careless = Config { signs: false, ..world.config(&key) };
    let careless = Client::connect(careless).await.unwrap();
    let missing = Some(RejectReason::SignatureMissing);

    let refused = careless.open_rfq(rfq(capability, WINDOW_MS)).await.unwrap_err();
    assert_eq!(refused.reason(), missing);
    let announced = open(&buyer, &mut providers, capability).await;
    let provider = &providers[0].client;
    // By its id alone, without the digest, nothing can be signed.
    let refused = provider.place_quote(announced.rfq, offer(1_000_000)).await.unwrap_err();
    assert_eq!(refused.reason(), missing);
    let refused = provider.set_standing_quote(standing(capability, 1, 1_000_000)).await;
    assert_eq!(refused.unwrap_err().reason(), missing);
    world.stop().await;
}

#[tokio::test]
async fn a_signature_that_is_wrong_foreign_or_replayed_is_rejected() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let buyer = world.trader().await;
        let mut providers = [world.trader().await, world.trader().await];
        let announced = open(&buyer, &mut providers, capability).await;
        let elsewhere = open(&buyer, &mut providers, capability).await;
        let [provider, thief] = &providers;
        let invalid = Some(RejectReason::InvalidSignature);
        let place = |rfq: RfqRef, id: RfqId, signer: &Signer, price| {
            let client_id = provider.client.next_client_id();
            let signature = rfq.unsigned();
            let place = PlaceQuote { client_id, rfq: id, offer: offer(price), signature };
            let mut command = Command::PlaceQuote(place);
            signer.sign(&mut command);
            command
        };
        let own = provider.client.signer();
        let here = RfqRef::from(&announced);

        let foreign_key = place(here, announced.rfq, thief.client.signer(), 30_000_000);
        assert_eq!(reason(&provider.client, foreign_key).await, invalid);
        let other_exchange = Signer::new(&provider.key, "elsewhere".parse().unwrap());
        let other_exchange = place(here, announced.rfq, &other_exchange, 30_000_000);
        assert_eq!(reason(&provider.client, other_exchange).await, invalid);
        // Truly signed, but over the digest of another RFQ.
        let other_digest = place(RfqRef::from(&elsewhere), announced.rfq, own, 30_000_000);
        let mismatch = Some(RejectReason::RfqDigestMismatch);
        assert_eq!(reason(&provider.client, other_digest).await, mismatch);

        let good = place(here, announced.rfq, own, 30_000_000);
        let Command::PlaceQuote(mut altered) = good.clone() else { panic!("{good:?}") };
        altered.offer.price = Micros::new(29_000_000);
        let altered = Command::PlaceQuote(altered);
        assert_eq!(reason(&provider.client, altered).await, invalid);
        let Command::PlaceQuote(mut again) = good.clone() else { panic!("{good:?}") };
        again.client_id = provider.client.next_client_id();
        let again = Command::PlaceQuote(again);
        assert_eq!(reason(&provider.client, again).await, invalid, "replayed as a new command");
        assert_eq!(reason(&thief.client, good.clone()).await, invalid, "replayed by another");
        provider.client.call(good.clone()).await.unwrap();
        assert!(provider.client.call(good).await.unwrap().repeated, "sent again, not replayed");
        world.stop().await;
    }
}

#[tokio::test]
async fn an_rfq_whose_digest_is_not_its_own_is_rejected() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let buyer = world.trader().await;
    let signed = || {
        let client_id = buyer.client.next_client_id();
        let open = OpenRfq::plain(client_id, rfq(capability, WINDOW_MS));
        let mut command = Command::OpenRfq(Box::new(open));
        buyer.client.signer().sign(&mut command);
        command
    };
    let changes: [fn(&mut OpenRfq); 3] = [
        |open| open.rfq.reserve = Micros::new(49_000_000),
        |open| open.rfq.bond_bps = 1,
        |open| open.signature.as_mut().unwrap().salt = Digest::new([3; 32]),
    ];
    for change in changes {
        let mut command = signed();
        if let Command::OpenRfq(open) = &mut command {
            change(open);
        }
        let invalid = Some(RejectReason::InvalidSignature);
        assert_eq!(reason(&buyer.client, command).await, invalid);
    }
    buyer.client.call(signed()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_take_is_signed_over_the_announced_digest() {
    let mut world = World::start_with(Codec::Rkyv, REQUIRED).await;
    let capability = world.capability("ocr").await;
    let (buyer, provider) = (world.trader().await, world.trader().await);
    let topic = Topic::Capability(capability);
    let mut feed = provider.client.subscribe(topic, None).await.unwrap();
    let mut terms = rfq(capability, WINDOW_MS);
    terms.format = Format::Dutch;
    let point = |after, price| CurvePoint { after, price: Micros::new(price) };
    let end = point(DurationNs::from_millis(WINDOW_MS), 50_000_000);
    let curve = vec![point(DurationNs::ZERO, 10_000_000), end];
    let dutch = Some(DutchTerms { curve, exclusive: None });
    let opening = NewRfq { terms, invited: Vec::new(), dutch, bundles: None };
    buyer.client.open_rfq(opening).await.unwrap();
    let announced = next_public!(&mut feed, RfqAnnounced);
    let limit = Micros::new(10_000_000);
    let unsigned = provider.client.take_rfq(announced.rfq, 1, limit).await.unwrap_err();
    assert_eq!(unsigned.reason(), Some(RejectReason::SignatureMissing));
    let taken = provider.client.take_rfq(&*announced, 1, limit).await.unwrap();
    assert_eq!(taken.remaining, 0);
    world.stop().await;
}

#[tokio::test]
async fn bundles_are_signed_with_their_group_and_their_items() {
    for codec in Codec::ALL {
        let mut world = World::start_with(codec, REQUIRED).await;
        let capability = world.capability("ocr").await;
        let (buyer, provider) = (world.trader().await, world.trader().await);
        let topic = Topic::Capability(capability);
        let mut feed = provider.client.subscribe(topic, None).await.unwrap();
        let item = Item { quantity: 2, load: 3, reserve: Micros::new(10_000_000) };
        let (terms, bundles) = rfq_for_items(capability, WINDOW_MS, &[item; 3]);
        let bundles = Some(bundles);
        let opening = NewRfq { terms, invited: Vec::new(), dutch: None, bundles };
        buyer.client.open_rfq(opening).await.unwrap();
        let announced = next_public!(&mut feed, RfqAnnounced);
        assert!(announced.signed.is_some());
        let (client, rfq) = (&provider.client, announced.rfq);
        let (xor, offered) = (group(GroupRule::Xor), || vec![bundle(&[0, 2], 15_000_000)]);
        let unsigned = client.quote_bundles(rfq, xor, offered()).await.unwrap_err();
        assert_eq!(unsigned.reason(), Some(RejectReason::SignatureMissing));

        let signed = |group| {
            let (client_id, bundles) = (client.next_client_id(), offered());
            let signature = RfqRef::from(&*announced).unsigned();
            let quote = QuoteBundles { client_id, rfq, group, bundles, signature };
            let mut command = Command::QuoteBundles(Box::new(quote));
            client.signer().sign(&mut command);
            command
        };
        let changes: [fn(&mut QuoteBundles); 7] = [
            |quote| quote.bundles[0].price = Micros::new(14_000_000),
            |quote| quote.bundles[0].latency_ms = 1,
            |quote| quote.bundles[0].items = Items::first(3),
            |quote| quote.bundles.push(bundle(&[1], 1_000_000)),
            |quote| quote.group = group(GroupRule::Or(3)),
            |quote| quote.group = BundleGroup::Existing(QuoteId::new(1)),
            |quote| quote.signature.as_mut().unwrap().rfq_digest = Digest::new([3; 32]),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut command = signed(xor);
            if let Command::QuoteBundles(quote) = &mut command {
                change(quote);
            }
            let invalid = Some(RejectReason::InvalidSignature);
            assert_eq!(reason(client, command).await, invalid, "change {number}");
        }
        client.call(signed(xor)).await.unwrap();
        let kept = client.quote_bundles(&*announced, group(GroupRule::Or(9)), offered()).await;
        let kept = BundleGroup::Existing(kept.unwrap());
        client.quote_bundles(&*announced, kept, offered()).await.unwrap();
        world.stop().await;
    }
}

#[tokio::test]
async fn an_rfq_for_items_is_signed_with_its_items() {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let buyer = world.trader().await;
    let signed = || {
        let item = Item { quantity: 2, load: 3, reserve: Micros::new(10_000_000) };
        let (terms, bundles) = rfq_for_items(capability, WINDOW_MS, &[item; 2]);
        let mut open = OpenRfq::plain(buyer.client.next_client_id(), terms);
        open.bundles = Some(Box::new(bundles));
        let mut command = Command::OpenRfq(Box::new(open));
        buyer.client.signer().sign(&mut command);
        command
    };
    let changes: [fn(&mut BundleTerms); 7] = [
        |terms| terms.items[0].load = 4,
        |terms| terms.free_disposal = true,
        |terms| terms.all_or_none = true,
        |terms| terms.payment = PaymentRule::Vcg,
        |terms| terms.clearing_within = DurationNs::from_millis(5),
        |terms| terms.external_solvers = false,
        // The same in all, and not the same each.
        |terms| {
            terms.items[0].reserve = Micros::new(11_000_000);
            terms.items[1].reserve = Micros::new(9_000_000);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut command = signed();
        if let Command::OpenRfq(open) = &mut command {
            change(open.bundles.as_mut().unwrap());
        }
        let invalid = Some(RejectReason::InvalidSignature);
        assert_eq!(reason(&buyer.client, command).await, invalid, "change {number}");
    }
    buyer.client.call(signed()).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_standing_quote_moves_within_its_envelope_by_the_mandated_session_alone() {
    for codec in Codec::ALL {
        let mut world = World::start_with(codec, REQUIRED).await;
        let capability = world.capability("ocr").await;
        let provider = world.trader().await;
        let envelope = Envelope {
            capability,
            terms: terms(),
            price_min: Micros::new(20_000_000),
            capacity_max: 1_000,
            valid_until: TimestampNs::MAX,
        };
        let exceeded = Some(RejectReason::EnvelopeExceeded);
        provider.client.sign_envelope(envelope).await.unwrap();
        provider.client.set_standing_quote(standing(capability, 1, 25_000_000)).await.unwrap();
        provider.client.set_standing_quote(standing(capability, 2, 20_000_000)).await.unwrap();
        let below = standing(capability, 3, 19_999_999);
        let refused = provider.client.set_standing_quote(below).await.unwrap_err();
        assert_eq!(refused.reason(), exceeded);

        // A logon that does not resume opens another session, and the mandate is not its own.
        let again = world.connect(&provider.key).await;
        let moved = || standing(capability, 3, 26_000_000);
        let refused = again.set_standing_quote(moved()).await.unwrap_err();
        assert_eq!(refused.reason(), exceeded);
        let old = provider.client.identity().session;
        let client_id = again.next_client_id();
        let stale = again.signer().envelope(client_id, envelope, old);
        assert_eq!(reason(&again, stale).await, Some(RejectReason::UnknownSession));
        let own = again.identity().session;
        let forged = Signer::new(&gavel_client::SigningKey::from_bytes(&[99; 32]), name());
        let forged = forged.envelope(again.next_client_id(), envelope, own);
        assert_eq!(reason(&again, forged).await, Some(RejectReason::InvalidSignature));
        again.sign_envelope(envelope).await.unwrap();
        again.set_standing_quote(moved()).await.unwrap();
        world.stop().await;
    }
}

fn name() -> Name {
    NAME.parse().unwrap()
}
