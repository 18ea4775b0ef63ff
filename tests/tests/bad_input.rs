//! What nobody should send: each gets a typed answer, or its connection closed with a reason; it has
//! no effect, and every other session goes on.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_client::NewRfq;
use gavel_protocol::limits::{
    BUNDLES_PER_ACCOUNT_MAX, BUNDLES_PER_COMMAND_MAX, BUNDLES_PER_RFQ_MAX, CLEARING_MAX, ITEMS_MAX,
    LOAD_MAX,
};
use gavel_protocol::*;
use gavel_tests::{Raw, World, bundle, closed_with, group, now, rfq, rfq_for_items, standing};

fn reason(answer: &ServerMessage) -> RejectReason {
    match answer {
        ServerMessage::Rejected(rejected) => rejected.reason,
        other => panic!("a rejection was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn an_unreadable_frame_is_rejected_and_the_session_goes_on() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let (key, _) = world.enrol().await;
        let (addr, _) = world.address();
        let mut raw = Raw::log_on(addr, codec, &key).await;
        let client_id = ClientId::from_parts(now(), 1);
        let open = OpenRfq::plain(client_id, rfq(capability, 1_000));
        let good = Command::OpenRfq(Box::new(open));
        let payload = raw.frame(&good)[FRAME_HEADER_BYTES..].to_vec();
        raw.session_seq -= 1;
        let half = &payload[..payload.len() / 2];
        let mut flipped = payload.clone();
        // In JSON this breaks a brace, in rkyv the place where the signature's tag is.
        let last = if codec == Codec::Json { 0 } else { payload.len() - 5 };
        flipped[last] ^= 0x80;
        let empty = if codec == Codec::Json { b"{}".as_slice() } else { &[] };
        for (template, version, payload, expected) in [
            (good.template_id(), 1, half, RejectReason::MalformedPayload),
            (good.template_id(), 1, &flipped, RejectReason::MalformedPayload),
            (good.template_id(), 1, &[], RejectReason::MalformedPayload),
            (good.template_id(), 9, &payload, RejectReason::UnsupportedVersion),
            (9_999, 1, &payload, RejectReason::UnknownTemplate),
            // Only the exchange itself advances time.
            (51, 1, empty, RejectReason::UnknownTemplate),
        ] {
            let frame = raw.odd_frame(template, version, payload);
            raw.send_bytes(&frame).await;
            assert_eq!(reason(&raw.answer().await), expected, "{codec:?} {template}");
        }
        let accepted = raw.call(&good).await;
        assert!(matches!(accepted, ServerMessage::Accepted(_)), "{accepted:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_any_further_is_closed_with_a_reason() {
    let mut world = World::start(Codec::Rkyv).await;
    let (other, _) = world.agent().await;
    let (key, _) = world.enrol().await;
    let (addr, _) = world.address();
    for length in [0_u32, 15, 524_289, u32::MAX] {
        let mut raw = Raw::log_on(addr, Codec::Rkyv, &key).await;
        raw.send_bytes(&length.to_le_bytes()).await;
        assert_eq!(closed_with(&raw.connection).await, CloseReason::FrameLength, "{length}");
    }
    let mut raw = Raw::log_on(addr, Codec::Rkyv, &key).await;
    raw.session_seq += 1;
    let gap = raw.odd_frame(6, 1, &[]);
    raw.send_bytes(&gap).await;
    assert_eq!(closed_with(&raw.connection).await, CloseReason::SequenceGap);
    other.statement().await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_logon_must_be_signed_afresh_by_an_enrolled_key() {
    let mut world = World::start(Codec::Json).await;
    let (key, _) = world.enrol().await;
    let (addr, _) = world.address();
    let stranger = gavel_client::SigningKey::from_bytes(&[77; 32]);

    let mut raw = Raw::connect(addr, Codec::Json).await;
    let recorded = raw.logon_request(&key).await;
    raw.send_message(&ClientMessage::LogonRequest(recorded.clone()), 0).await;
    let (_, answer) = raw.message().await.unwrap();
    assert!(matches!(answer, ServerMessage::LogonAnswer(_)), "{answer:?}");

    let mut unsigned = recorded.clone();
    unsigned.signature = SignatureBytes::new([0; 64]);
    for request in [Some(recorded), Some(unsigned), None] {
        let mut raw = Raw::connect(addr, Codec::Json).await;
        let own = raw.logon_request(&stranger).await;
        let request = request.unwrap_or(own);
        raw.send_message(&ClientMessage::LogonRequest(request), 0).await;
        assert_eq!(closed_with(&raw.connection).await, CloseReason::LogonRefused);
    }

    let mut raw = Raw::connect(addr, Codec::Json).await;
    let capability = CapabilityId::new(1);
    let early = raw.call(&Command::SetStandingQuote(standing(capability, 1, 1))).await;
    assert!(matches!(early, ServerMessage::Challenge(_) | ServerMessage::Rejected(_)));
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_alpn_ends_the_handshake() {
    let world = World::start(Codec::Rkyv).await;
    let (addr, _) = world.address();
    assert!(Raw::handshake(addr, b"gavel/9").await.is_err());
    assert!(Raw::handshake(addr, b"gavel/1").await.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn commands_that_make_no_sense_are_rejected_with_their_reason() {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (key, _) = world.enrol().await;
    let (addr, _) = world.address();
    let mut raw = Raw::log_on(addr, Codec::Json, &key).await;
    let past = TimestampNs::from_nanos(1);
    let mut number = 0;
    let mut client_id = || {
        number += 1;
        ClientId::from_parts(now(), number)
    };
    let open = |client_id, change: fn(&mut RfqTerms)| {
        let mut rfq = rfq(capability, 1_000);
        change(&mut rfq);
        Command::OpenRfq(Box::new(OpenRfq::plain(client_id, rfq)))
    };
    let mut expired = standing(capability, 1, 1_000);
    expired.valid_until = past;
    let place = |client_id, signature| {
        let (rfq, offer) = (RfqId::new(6), Offer::new(Micros::new(1), past));
        Command::PlaceQuote(PlaceQuote { client_id, rfq, offer, signature })
    };
    let (scheme, bytes) = (SignatureScheme::Ed25519, SignatureBytes::new([1; 64]));
    let signature = Signature { scheme, bytes };
    let signature = Box::new(QuoteSignature { rfq_digest: Digest::new([1; 32]), signature });
    let contract = ContractId::new(5);
    let cases = [
        (open(client_id(), |r| r.reserve = Micros::ZERO), RejectReason::InvalidAmount),
        (open(client_id(), |r| r.reserve = Micros::new(-1)), RejectReason::InvalidAmount),
        (open(client_id(), |r| r.reserve = Micros::new(i64::MAX)), RejectReason::InvalidAmount),
        (open(client_id(), |r| r.quantity = 0), RejectReason::InvalidQuantity),
        (open(client_id(), |r| r.quantity = u32::MAX), RejectReason::InvalidQuantity),
        (
            open(client_id(), |r| r.delivery_within = DurationNs::ZERO),
            RejectReason::InvalidDuration,
        ),
        (
            open(client_id(), |r| r.capability = CapabilityId::new(4)),
            RejectReason::UnknownCapability,
        ),
        (
            open(client_id(), |r| (r.reserve, r.quantity) = (Micros::new(999_000_000), 2)),
            RejectReason::TransactionLimit,
        ),
        (Command::SetStandingQuote(expired), RejectReason::TooLate),
        (place(client_id(), Some(signature)), RejectReason::InvalidSignature),
        (place(client_id(), None), RejectReason::UnknownRfq),
        (
            Command::StartWork(StartWork { client_id: client_id(), contract }),
            RejectReason::UnknownContract,
        ),
        (
            Command::Halt(Halt { client_id: client_id(), capability: None }),
            RejectReason::NotPermitted,
        ),
        (
            Command::StartWork(StartWork { client_id: ClientId::new(7), contract }),
            RejectReason::ClientIdExpired,
        ),
        (
            Command::StartWork(StartWork { client_id: ClientId::new(u128::MAX), contract }),
            RejectReason::ClientIdInFuture,
        ),
    ];
    for (command, expected) in cases {
        let answer = raw.call(&command).await;
        assert_eq!(reason(&answer), expected, "{command:?}");
        let ServerMessage::Rejected(rejected) = answer else { unreachable!("just checked") };
        assert_eq!(rejected.code, expected.code());
        assert!(!rejected.message.is_empty());
    }
    world.stop().await;
}

/// What each RFQ for items asks for.
const ITEM: Item = Item { quantity: 2, load: 3, reserve: Micros::new(5_000_000) };

#[tokio::test]
async fn items_that_make_no_sense_are_rejected_with_their_reason() {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (buyer, _) = world.agent().await;
    type Change = fn(&mut RfqTerms, &mut BundleTerms);
    let cases: [(Change, RejectReason); 15] = [
        (|_, b| b.items.clear(), RejectReason::InvalidItems),
        (|_, b| b.items = vec![ITEM; ITEMS_MAX + 1], RejectReason::InvalidItems),
        (|_, b| b.items[0].quantity = 0, RejectReason::InvalidItems),
        (|_, b| b.items[0].load = LOAD_MAX + 1, RejectReason::InvalidItems),
        (|_, b| b.items[0].reserve = Micros::ZERO, RejectReason::InvalidItems),
        (|_, b| b.items[0].reserve = Micros::new(-5_000_000), RejectReason::InvalidItems),
        (|_, b| b.items[0].reserve = Micros::new(i64::MAX), RejectReason::InvalidItems),
        (|r, _| r.reserve = Micros::new(29_999_999), RejectReason::InvalidItems),
        (|r, _| r.quantity = 2, RejectReason::FormatNotAllowed),
        (|r, _| r.split = true, RejectReason::FormatNotAllowed),
        (|r, _| r.admit_standing = true, RejectReason::FormatNotAllowed),
        (|r, _| r.window = DurationNs::ZERO, RejectReason::FormatNotAllowed),
        (|r, _| r.format = Format::SecondPrice, RejectReason::FormatNotAllowed),
        (
            |_, b| b.clearing_within = CLEARING_MAX.plus(DurationNs::from_nanos(1)),
            RejectReason::InvalidDuration,
        ),
        (
            |_, b| (b.payment, b.all_or_none) = (PaymentRule::Vcg, true),
            RejectReason::PaymentRuleNotAllowed,
        ),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let (mut terms, mut bundles) = rfq_for_items(capability, 1_000, &[ITEM; 3]);
        change(&mut terms, &mut bundles);
        let bundles = Some(bundles);
        let opening = NewRfq { terms, invited: Vec::new(), dutch: None, bundles };
        let refused = buyer.open_rfq(opening).await.unwrap_err();
        assert_eq!(refused.reason(), Some(expected), "case {number}");
    }
    let terms = RfqTerms { format: Format::Combinatorial, ..rfq(capability, 1_000) };
    let refused = buyer.open_rfq(terms).await.unwrap_err();
    assert_eq!(refused.reason(), Some(RejectReason::FormatNotAllowed), "without any items");
    world.stop().await;
}

#[tokio::test]
async fn bundles_that_make_no_sense_are_rejected_with_their_reason() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let ((buyer, _), (first, _)) = (world.agent().await, world.agent().await);
        let (second, _) = world.agent().await;
        let (terms, bundles) = rfq_for_items(capability, 600_000, &[ITEM; 3]);
        let bundles = Some(bundles);
        let opening = NewRfq { terms, invited: Vec::new(), dutch: None, bundles };
        let parts = buyer.open_rfq(opening).await.unwrap().rfq;
        let whole = buyer.open_rfq(rfq(capability, 600_000)).await.unwrap().rfq;
        let xor = group(GroupRule::Xor);
        let one = || vec![bundle(&[0, 2], 1_000_000)];
        let quote = first.quote_bundles(parts, xor, one()).await.unwrap();
        let sealed = first.place_quote(whole, Offer::new(Micros::new(1), TimestampNs::MAX));
        let sealed = sealed.await.unwrap();
        let past = TimestampNs::from_nanos(1);
        let short = NewGroup { rule: GroupRule::Xor, valid_until: past, standby_until: None };
        let slow = Bundle { latency_ms: u32::MAX, ..bundle(&[0], 1) };
        let cases = [
            (parts, xor, vec![], RejectReason::InvalidQuantity),
            (
                parts,
                xor,
                vec![bundle(&[0], 1); BUNDLES_PER_COMMAND_MAX + 1],
                RejectReason::InvalidQuantity,
            ),
            (parts, group(GroupRule::Or(0)), one(), RejectReason::InvalidQuantity),
            (parts, group(GroupRule::Or(LOAD_MAX + 1)), one(), RejectReason::InvalidQuantity),
            (parts, xor, vec![bundle(&[], 1)], RejectReason::InvalidBundle),
            (parts, xor, vec![bundle(&[0], 1), bundle(&[3], 1)], RejectReason::InvalidBundle),
            (parts, xor, vec![bundle(&[255], 1)], RejectReason::InvalidBundle),
            (parts, xor, vec![bundle(&[0], 0)], RejectReason::InvalidAmount),
            (parts, xor, vec![bundle(&[0], -1)], RejectReason::InvalidAmount),
            (parts, xor, vec![bundle(&[0], i64::MAX); 2], RejectReason::InvalidAmount),
            (parts, xor, vec![slow], RejectReason::InvalidDuration),
            (parts, BundleGroup::New(short), one(), RejectReason::ValidUntilTooShort),
            (parts, BundleGroup::Existing(quote), one(), RejectReason::UnknownQuote),
            (parts, BundleGroup::Existing(QuoteId::new(9)), one(), RejectReason::UnknownQuote),
            (whole, xor, one(), RejectReason::WrongFormat),
            (RfqId::new(6), xor, one(), RejectReason::UnknownRfq),
        ];
        for (number, (rfq, group, bundles, expected)) in cases.into_iter().enumerate() {
            let refused = second.quote_bundles(rfq, group, bundles).await.unwrap_err();
            assert_eq!(refused.reason(), Some(expected), "case {number}");
        }
        // Its own, for another RFQ.
        let refused = first.quote_bundles(parts, BundleGroup::Existing(sealed), one()).await;
        assert_eq!(refused.unwrap_err().reason(), Some(RejectReason::UnknownQuote));
        let offer = Offer::new(Micros::new(1), TimestampNs::MAX);
        let refused = second.place_quote(parts, offer).await.unwrap_err();
        assert_eq!(refused.reason(), Some(RejectReason::WrongFormat));
        let refused = first.amend_quote(parts, quote, offer).await.unwrap_err();
        assert_eq!(refused.reason(), Some(RejectReason::WrongFormat));
        world.stop().await;
    }
}

#[tokio::test]
async fn an_item_that_stands_in_a_bundle_twice_makes_it_unreadable() {
    let mut world = World::start(Codec::Json).await;
    let (key, _) = world.enrol().await;
    let (addr, _) = world.address();
    let mut raw = Raw::log_on(addr, Codec::Json, &key).await;
    let (rfq, bundles) = (RfqId::new(6), vec![bundle(&[0, 2], 1_000_000)]);
    let client_id = ClientId::from_parts(now(), 1);
    let group = group(GroupRule::Xor);
    let quote = QuoteBundles { client_id, rfq, group, bundles, signature: None };
    let good = Command::QuoteBundles(Box::new(quote));
    let payload = String::from_utf8(raw.frame(&good)[FRAME_HEADER_BYTES..].to_vec()).unwrap();
    raw.session_seq -= 1;
    for (items, expected) in [
        ("[2,0]", RejectReason::UnknownRfq),
        ("[0,2,0]", RejectReason::MalformedPayload),
        ("[256]", RejectReason::MalformedPayload),
        ("[-1]", RejectReason::MalformedPayload),
        ("0", RejectReason::MalformedPayload),
    ] {
        let written = payload.replace("[0,2]", items);
        assert!(items == "[0,2]" || written != payload, "{payload}");
        let frame = raw.odd_frame(good.template_id(), TEMPLATE_VERSION, written.as_bytes());
        raw.send_bytes(&frame).await;
        assert_eq!(reason(&raw.answer().await), expected, "{items}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_rfq_takes_so_many_bundles_and_no_more() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let ((buyer, _), (provider, _)) = (world.agent().await, world.agent().await);
    let (terms, bundles) = rfq_for_items(capability, 600_000, &[ITEM; 3]);
    let bundles = Some(bundles);
    let opening = NewRfq { terms, invited: Vec::new(), dutch: None, bundles };
    let rfq = buyer.open_rfq(opening).await.unwrap().rfq;
    let offered = |count| vec![bundle(&[1], 1_000_000); count];
    // An account takes up a sixteenth of it at the most, by its own count.
    let most = BUNDLES_PER_ACCOUNT_MAX - 1;
    let first = provider.quote_bundles(rfq, group(GroupRule::Xor), offered(most)).await.unwrap();
    let more = BundleGroup::Existing(first);
    let refused = provider.quote_bundles(rfq, more, offered(2)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(RejectReason::QuoteLimit), "all of them, or none");
    let last = provider.quote_bundles(rfq, group(GroupRule::Or(3)), offered(1)).await.unwrap();
    let refused = provider.quote_bundles(rfq, more, offered(1)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(RejectReason::QuoteLimit));
    provider.cancel_quote(last).await.unwrap();
    provider.quote_bundles(rfq, more, offered(1)).await.unwrap();

    let others = BUNDLES_PER_RFQ_MAX / BUNDLES_PER_ACCOUNT_MAX - 1;
    for _ in 0..others {
        let (other, _) = world.agent().await;
        let all = offered(BUNDLES_PER_ACCOUNT_MAX);
        other.quote_bundles(rfq, group(GroupRule::Xor), all).await.unwrap();
    }
    let (late, _) = world.agent().await;
    let refused = late.quote_bundles(rfq, group(GroupRule::Xor), offered(1)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(RejectReason::RfqFull));
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_holds_up_nobody() {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (lazy_key, _) = world.enrol().await;
    let (provider, _) = world.agent().await;
    let (addr, _) = world.address();
    let mut lazy = Raw::log_on(addr, Codec::Json, &lazy_key).await;
    lazy.session_seq += 1;
    let subscribe = Subscribe { topic: Topic::Capability(capability), from: None };
    let number = lazy.session_seq;
    lazy.send_message(&ClientMessage::Subscribe(subscribe), number).await;
    let answer = lazy.answer().await;
    assert!(matches!(answer, ServerMessage::Subscribed(_)), "{answer:?}");
    // It never takes the stream. Everybody else trades on until the server has had enough.
    let closed = closed_with(&lazy.connection);
    tokio::pin!(closed);
    for revision in 1.. {
        let update = Command::SetStandingQuote(standing(capability, revision, 1_000));
        tokio::select! {
            biased;
            reason = &mut closed => {
                assert_eq!(reason, CloseReason::SlowConsumer);
                break;
            }
            sent = provider.send(update) => drop(sent.unwrap()),
        }
    }
    provider.statement().await.unwrap();
    world.stop().await;
}
