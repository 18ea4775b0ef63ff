"""Trades over an independent QUIC stack, by docs/PROTOCOL.md alone, with JSON payloads.

A buyer opens and signs an RFQ, a provider that hears of it signs its quote, and the buyer gets its
award; and so for a combinatorial RFQ, whose items the provider quotes bundles for.
Usage: independent_client.py DATA_DIRECTORY, of a running exchange with the agents acme and fast.
"""

import asyncio
import hashlib
import json
import pathlib
import secrets
import ssl
import struct
import sys
import time

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEADER = struct.Struct("<IHHQ")
# Templates, from the document's tables.
LOGON_REQUEST, SUBSCRIBE, QUERY = 1, 4, 6
OPEN_RFQ, PLACE_QUOTE, QUOTE_BUNDLES = 16, 18, 39
CHALLENGE, LOGON_ANSWER, ACCEPTED, REJECTED = 64, 65, 68, 69
SUBSCRIBED, CAPABILITY_LIST = 70, 73
AWARDED, RFQ_CLEARED, RFQ_ANNOUNCED = 96, 116, 128


# What is signed: integers little-endian and as wide as their type, a choice as the number of its
# variant, an option as a flag and its value, a list as its length and its entries.
def u8(value):
    return struct.pack("<B", value)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", int(value))


def i64(value):
    return struct.pack("<q", int(value))


def id_bytes(text):
    return u64(int(text.rsplit("_", 1)[1], 16))


def option(value, write):
    return u8(0) if value is None else u8(1) + write(value)


def digest(message):
    return blake3(message).digest()


def listed(values, write):
    return u32(len(values)) + b"".join(map(write, values))


FORMATS = ["first_price", "second_price", "dutch", "buyers_choice", "combinatorial"]


def public_terms(rfq):
    return b"".join([
        id_bytes(rfq["capability"]),
        rfq["currency"].encode(),
        u32(rfq["quantity"]),
        u8(rfq["split"]),
        u8(FORMATS.index(rfq["format"])),
        u64(rfq["window"]),
        u64(rfq["cutoff"]),
        u8(rfq["close_early"]),
        u64(rfq["pick_within"]),
        u8(rfq["admit_standing"]),
        i64(rfq["scoring"]["latency_per_ms"]),
        i64(rfq["scoring"]["reputation_per_bps"]),
        u16(rfq["eligibility"]["reputation_min_bps"]),
        u32(0),  # no attributes
        u16(rfq["bond_bps"]),
        u64(rfq["start_within"]),
        u64(rfq["delivery_within"]),
        u64(rfq["acceptance_within"]),
        bytes.fromhex(rfq["spec"]),
        bytes.fromhex(rfq["terms"]),
    ])


def public_bundles(bundles):
    return b"".join([
        listed(bundles["items"], lambda item: u32(item["quantity"]) + u32(item["load"])),
        u8(bundles["free_disposal"]),
        u8(bundles["all_or_none"]),
        u8(["pay_as_bid", "vcg", "core"].index(bundles["payment"])),
        u64(bundles["clearing_within"]),
        u8(bundles["external_solvers"]),
    ])


def reserves(bundles):
    return listed(bundles["items"], lambda item: i64(item["reserve"]))


def commitment(salt, opening):
    rfq = opening["rfq"]
    return digest(b"".join([
        b"gavel rfq private 1\0",
        salt,
        i64(rfq["reserve"]),
        option(rfq["inputs"], bytes.fromhex),
        u8(rfq["top_up"]),
        u8(["nothing", "clearing_price"].index(rfq["disclosure"])),
        listed(opening["invited"], id_bytes),
        option(opening["bundles"], reserves),
    ]))


def offer_bytes(offer):
    return b"".join([
        i64(offer["price"]),
        u32(offer["quantity"]),
        u8(offer["all_or_none"]),
        u32(offer["latency_ms"]),
        u64(offer["valid_until"]),
        option(offer["standby_until"], u64),
    ])


def group_bytes(group):
    [(kind, group)] = group.items()
    if kind == "existing":
        return u8(1) + id_bytes(group)
    rule = group["rule"]
    return b"".join([
        u8(0),
        u8(0) if rule == "xor" else u8(1) + u32(rule["or"]),
        u64(group["valid_until"]),
        option(group["standby_until"], u64),
    ])


def bundle_bytes(bundle):
    """Items are four words of 64 bits, the first of which has the first items."""
    items = sum(1 << item for item in bundle["items"])
    return items.to_bytes(32, "little") + i64(bundle["price"]) + u32(bundle["latency_ms"])


class Session(QuicConnectionProtocol):
    """One connection: frames in, frames out."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.buffers = {}
        self.answers = asyncio.Queue()
        self.events = asyncio.Queue()
        self.session_stream = None
        self.session_seq = 0

    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived):
            # The server opens the session stream: the first bidirectional one of its own.
            if self.session_stream is None and event.stream_id % 4 == 1:
                self.session_stream = event.stream_id
            buffer = self.buffers.setdefault(event.stream_id, bytearray())
            buffer += event.data
            while len(buffer) >= HEADER.size:
                length, template, version, number = HEADER.unpack_from(buffer)
                if len(buffer) < length:
                    break
                payload = json.loads(bytes(buffer[HEADER.size:length]))
                del buffer[:length]
                assert version == 1
                of_session = event.stream_id == self.session_stream
                (self.answers if of_session else self.events).put_nowait((template, number, payload))
        elif isinstance(event, ConnectionTerminated):
            closed = (None, event.error_code, event.reason_phrase)
            self.answers.put_nowait(closed)
            self.events.put_nowait(closed)

    def write(self, template, number, payload):
        body = json.dumps(payload).encode()
        frame = HEADER.pack(HEADER.size + len(body), template, 1, number) + body
        self._quic.send_stream_data(self.session_stream, frame)
        self.transmit()

    async def log_on(self, key):
        template, _, challenge = await self.answers.get()
        assert template == CHALLENGE, challenge
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        signed = b"gavel logon 1\0" + bytes.fromhex(challenge["nonce"]) + public
        signed += challenge["exchange"].encode("ascii")
        request = {
            "key": public.hex(),
            "signature": key.sign(signed).hex(),
            "resume": None,
            "cancel_on_disconnect": False,
            "grace": "0",
            "sequenced_answers": False,
        }
        self.write(LOGON_REQUEST, 0, request)
        template, _, answer = await self.answers.get()
        assert template == LOGON_ANSWER, answer
        self.session_seq = int(answer["session_seq_next"]) - 1
        self.key, self.public, self.exchange = key, public, challenge["exchange"].encode("ascii")
        return answer

    def signature(self, context, client_id, body):
        """Signs a command: its context, the exchange, the key, the client id, what it says."""
        name = u8(len(self.exchange)) + self.exchange
        number = int(client_id, 16).to_bytes(16, "little")
        signed = self.key.sign(context + name + self.public + number + body)
        return {"scheme": "ed25519", "bytes": signed.hex()}

    def signed_rfq(self, opening):
        salt = secrets.token_bytes(32)
        hidden = commitment(salt, opening)
        rfq_digest = digest(b"".join([
            b"gavel rfq public 1\0",
            public_terms(opening["rfq"]),
            u8(0),  # not dutch
            option(opening["bundles"], public_bundles),
            hidden,
        ]))
        signature = self.signature(b"gavel rfq 1\0", opening["client_id"], rfq_digest)
        signed = {"salt": salt, "commitment": hidden, "digest": rfq_digest}
        signed = {name: value.hex() for name, value in signed.items()}
        return {**opening, "signature": {**signed, "signature": signature}}

    def signed_quote(self, quote, rfq_digest):
        body = bytes.fromhex(rfq_digest) + id_bytes(quote["rfq"]) + offer_bytes(quote["offer"])
        signature = self.signature(b"gavel quote 1\0", quote["client_id"], body)
        return {**quote, "signature": {"rfq_digest": rfq_digest, "signature": signature}}

    def signed_bundles(self, quote, rfq_digest):
        body = bytes.fromhex(rfq_digest) + id_bytes(quote["rfq"]) + group_bytes(quote["group"])
        body += listed(quote["bundles"], bundle_bytes)
        signature = self.signature(b"gavel bundles 1\0", quote["client_id"], body)
        return {**quote, "signature": {"rfq_digest": rfq_digest, "signature": signature}}

    async def call(self, template, payload):
        """Sends a numbered frame and returns the answer to it."""
        self.session_seq += 1
        self.write(template, self.session_seq, payload)
        while True:
            answer, number, payload = await self.answers.get()
            assert answer is not None, f"closed: {payload}"
            if number == self.session_seq:
                return answer, payload

    async def event(self, wanted):
        while True:
            template, _, payload = await self.events.get()
            assert template is not None, f"closed: {payload}"
            if template == wanted:
                return payload


def client_id():
    """48 bits of milliseconds, then 80 bits of our own."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def session(whereabouts):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["gavel-json/1"])
    # Self-signed: the fingerprint is checked instead of a chain.
    configuration.verify_mode = ssl.CERT_NONE
    host, port = whereabouts["quic"].rsplit(":", 1)
    return connect(host, int(port), configuration=configuration, create_protocol=Session)


def check_fingerprint(client, whereabouts):
    certificate = client._quic.tls._peer_certificate.public_bytes(Encoding.DER)
    assert hashlib.sha256(certificate).hexdigest() == whereabouts["fingerprint"]


def key_of(data, name):
    seed = bytes.fromhex((data / "keys" / f"{name}.key").read_text().strip())
    return Ed25519PrivateKey.from_private_bytes(seed)


async def trade(data):
    whereabouts = json.loads((data / "exchange.json").read_text())
    async with session(whereabouts) as buyer, session(whereabouts) as provider:
        check_fingerprint(buyer, whereabouts)
        await buyer.log_on(key_of(data, "acme"))
        await provider.log_on(key_of(data, "fast"))

        template, listed = await buyer.call(QUERY, {"kind": {"capabilities": None}})
        assert template == CAPABILITY_LIST, listed
        capability = listed["capabilities"][0]
        for client, topic in [
            (buyer, "private"),
            (provider, {"capability": capability["capability"]}),
        ]:
            template, answer = await client.call(SUBSCRIBE, {"topic": topic, "from": None})
            assert template == SUBSCRIBED, answer

        rfq = {
            "capability": capability["capability"],
            "currency": "USD",
            "quantity": 1,
            "split": False,
            "reserve": "40000000",
            "format": "first_price",
            "window": "1000000000",
            "cutoff": "0",
            "close_early": False,
            "pick_within": "0",
            "admit_standing": False,
            "scoring": {"latency_per_ms": "1000", "reputation_per_bps": "0"},
            "eligibility": {"reputation_min_bps": 0, "attributes": []},
            "bond_bps": 0,
            "top_up": False,
            "disclosure": "clearing_price",
            "start_within": "0",
            "delivery_within": "60000000000",
            "acceptance_within": "60000000000",
            "spec": "00" * 32,
            "inputs": None,
            "terms": capability["terms"],
        }
        opening = {
            "client_id": client_id(),
            "rfq": rfq,
            "invited": [],
            "dutch": None,
            "bundles": None,
        }
        opening = buyer.signed_rfq(opening)
        template, opened = await buyer.call(OPEN_RFQ, opening)
        assert template == ACCEPTED, opened
        # The very same frame content again is the same outcome again.
        template, again = await buyer.call(OPEN_RFQ, opening)
        assert template == ACCEPTED and again["repeated"], again
        assert again["outcome"] == opened["outcome"]

        announced = await provider.event(RFQ_ANNOUNCED)
        assert "reserve" not in announced["terms"]
        rfq_digest = announced["signed"]["digest"]
        assert rfq_digest == opening["signature"]["digest"], announced
        offer = {
            "price": "30500000",
            "quantity": 1,
            "all_or_none": False,
            "latency_ms": 250,
            "valid_until": announced["closes_at"],
            "standby_until": None,
        }
        quote = {"client_id": client_id(), "rfq": announced["rfq"], "offer": offer}
        signed = provider.signed_quote(quote, rfq_digest)
        # What was signed is not what is said: somebody has lowered the price on the way.
        forged = {**signed, "client_id": client_id(), "offer": {**offer, "price": "1000000"}}
        template, refused = await provider.call(PLACE_QUOTE, forged)
        assert template == REJECTED and refused["reason"] == "InvalidSignature", refused
        template, placed = await provider.call(PLACE_QUOTE, signed)
        assert template == ACCEPTED, placed

        awarded = await buyer.event(AWARDED)
        assert awarded["rfq"] == opened["outcome"]["rfq"]["rfq"], awarded
        assert awarded["total"] == "30500000", awarded
        assert awarded["breakdown"]["latency"] == "250000", awarded

        late = provider.signed_quote({**quote, "client_id": client_id()}, rfq_digest)
        template, refused = await provider.call(PLACE_QUOTE, late)
        assert template == REJECTED and refused["reason"] == "TooLate", refused
        print("awarded", awarded["contract"])
        await trade_items(buyer, provider, opening)


async def trade_items(buyer, provider, opening):
    """Opens the same again for three items, quotes two bundles and one of a group of its own."""
    item = {"quantity": 1, "load": 2, "reserve": "10000000"}
    bundles = {
        "items": [item, item, {**item, "quantity": 2, "reserve": "5000000"}],
        "free_disposal": False,
        "all_or_none": False,
        "payment": "pay_as_bid",
        "clearing_within": "1000000",
        "external_solvers": False,
    }
    rfq = {
        **opening["rfq"],
        "format": "combinatorial",
        "reserve": "30000000",
        "window": "2000000000",
    }
    opening = {**opening, "client_id": client_id(), "rfq": rfq, "bundles": bundles}
    opening = buyer.signed_rfq(opening)
    template, opened = await buyer.call(OPEN_RFQ, opening)
    assert template == ACCEPTED, opened

    announced = await provider.event(RFQ_ANNOUNCED)
    assert "reserve" not in announced["bundles"]["items"][0], announced
    rfq_digest = announced["signed"]["digest"]
    assert rfq_digest == opening["signature"]["digest"], announced

    def quote(group, *offered):
        offered = [
            {"items": items, "price": price, "latency_ms": 100} for items, price in offered
        ]
        quote = {
            "client_id": client_id(),
            "rfq": announced["rfq"],
            "group": group,
            "bundles": offered,
        }
        return provider.signed_bundles(quote, rfq_digest)

    firm = {"valid_until": str(int(announced["closes_at"]) + 10**9), "standby_until": None}
    either = quote({"new": {**firm, "rule": "xor"}}, ([0, 1], "12000000"), ([0], "9000000"))
    forged = {**either, "client_id": client_id(), "group": {"new": {**firm, "rule": {"or": 9}}}}
    template, refused = await provider.call(QUOTE_BUNDLES, forged)
    assert template == REJECTED and refused["reason"] == "InvalidSignature", refused
    template, placed = await provider.call(QUOTE_BUNDLES, either)
    assert template == ACCEPTED, placed
    group = {"existing": placed["outcome"]["quote"]}
    template, grown = await provider.call(QUOTE_BUNDLES, quote(group, ([1], "9500000")))
    assert template == ACCEPTED and grown["outcome"] == placed["outcome"], grown
    both = quote({"new": {**firm, "rule": {"or": 2}}}, ([2], "8000000"))
    template, placed = await provider.call(QUOTE_BUNDLES, both)
    assert template == ACCEPTED, placed

    cleared = await buyer.event(RFQ_CLEARED)
    # 8.00 and 2.00, less a tenth of a unit each for their latency.
    assert (cleared["surplus"], cleared["items"]) == ("9800000", [0, 1, 2]), cleared
    for items, total in [([0, 1], "12000000"), ([2], "8000000")]:
        awarded = await buyer.event(AWARDED)
        assert (awarded["bundle"]["items"], awarded["total"]) == (items, total), awarded
    print("awarded bundles of", cleared["rfq"])


asyncio.run(asyncio.wait_for(trade(pathlib.Path(sys.argv[1])), timeout=30))
