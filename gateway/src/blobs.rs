//! Blobs: stored under the agent that sends them and named by their content, read by those whom the
//! index of RFQs and contracts allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gavel_protocol::limits::{BLOB_BYTES_MAX, FRAME_BYTES_MAX};
use gavel_protocol::{
    AgentId, BlobAnswer, BlobGet, BlobPut, BlobReady, ClientMessage, CloseReason, Codec, Digest,
    FrameHeader, Frames, RejectReason, RejectedAnswer, ServerMessage,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use quinn::{RecvStream, SendStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::blob_index::BlobPlace;
use crate::connection::Connection;
use crate::decode::decode_message;
use crate::limits::{
    BLOB_CHARGE_BYTES_MIN, BLOB_TIMEOUT, BLOBS_IN_FLIGHT_MAX, BLOBS_PER_CONNECTION_MAX,
};
use crate::lock::lock;
use crate::serve::Edge;

/// The store and how much of it each agent uses.
#[derive(Debug)]
pub(crate) struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    bytes_per_agent_max: u64,
    /// Bytes charged per agent; read from the store at an agent's first blob.
    charged: Mutex<HashMap<AgentId, u64>>,
    in_flight: Semaphore,
}

/// Why a blob stream was given up.
#[derive(Debug, thiserror::Error)]
enum BlobError {
    #[error("the blob was refused")]
    Refused(RejectReason),
    #[error("the stream was cut off")]
    CutOff,
    #[error("the stream cannot be read any further")]
    FrameLength,
}

impl From<RejectReason> for BlobError {
    fn from(reason: RejectReason) -> Self {
        Self::Refused(reason)
    }
}

/// Serves the blob streams of a connection. Returns why the connection is to be closed.
pub(crate) async fn accept(
    edge: &Arc<Edge>,
    quic: &quinn::Connection,
    connection: &Arc<Connection>,
) -> CloseReason {
    let permits = Arc::new(Semaphore::new(BLOBS_PER_CONNECTION_MAX));
    let mut tasks = JoinSet::new();
    loop {
        let Ok((send, recv)) = quic.accept_bi().await else { return CloseReason::Goodbye };
        while tasks.try_join_next().is_some() {}
        let (edge, connection) = (Arc::clone(edge), Arc::clone(connection));
        let permits = Arc::clone(&permits);
        tasks.spawn(timeout(BLOB_TIMEOUT, async move {
            let Ok(_permit) = permits.acquire().await else { return };
            let mut stream = BlobStream { codec: connection.codec, send, recv };
            if stream.serve(&edge, &connection).await.is_err_and(|e| e.is_unreadable()) {
                connection.close(CloseReason::FrameLength);
            }
        }));
    }
}

impl BlobError {
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::FrameLength)
    }
}

struct BlobStream {
    codec: Codec,
    send: SendStream,
    recv: RecvStream,
}

impl BlobStream {
    /// Serves the one request of this stream.
    async fn serve(&mut self, edge: &Edge, connection: &Connection) -> Result<(), BlobError> {
        let (header, payload, rest) = self.first_frame().await?;
        let result = match connection.agent() {
            None => Err(RejectReason::NotLoggedOn.into()),
            Some(agent) => match decode_message(self.codec, header, &payload) {
                Ok(ClientMessage::BlobPut(put)) => {
                    self.put(&edge.blobs, agent, header, &put, rest).await
                }
                Ok(ClientMessage::BlobGet(get)) => self.get(edge, agent, header, &get).await,
                Ok(
                    ClientMessage::LogonRequest(_)
                    | ClientMessage::Heartbeat(_)
                    | ClientMessage::Logout(_)
                    | ClientMessage::Subscribe(_)
                    | ClientMessage::Unsubscribe(_)
                    | ClientMessage::Query(_),
                ) => Err(RejectReason::UnknownTemplate.into()),
                Err(reason) => Err(reason.into()),
            },
        };
        if let Err(BlobError::Refused(reason)) = result {
            let rejected = ServerMessage::Rejected(RejectedAnswer::of(reason));
            self.answer(header, &rejected, Bytes::new()).await?;
        }
        result
    }

    /// Reads the first frame. Returns it, and the bytes after it that have come already.
    async fn first_frame(&mut self) -> Result<(FrameHeader, Vec<u8>, Vec<u8>), BlobError> {
        let mut bytes = Vec::new();
        loop {
            let mut frames = Frames::new(&bytes);
            if let Some((header, payload)) =
                frames.next_frame().map_err(|_| BlobError::FrameLength)?
            {
                let rest = bytes[frames.consumed()..].to_vec();
                return Ok((header, payload.to_vec(), rest));
            }
            let chunk = self.recv.read_chunk(FRAME_BYTES_MAX, true).await;
            let chunk = chunk.ok().flatten().ok_or(BlobError::CutOff)?;
            bytes.extend_from_slice(&chunk.bytes);
        }
    }

    async fn put(
        &mut self,
        store: &BlobStore,
        agent: AgentId,
        header: FrameHeader,
        put: &BlobPut,
        rest: Vec<u8>,
    ) -> Result<(), BlobError> {
        if put.length > BLOB_BYTES_MAX {
            return Err(RejectReason::BlobTooLarge.into());
        }
        let _permit = store.in_flight.acquire().await.map_err(|_| BlobError::CutOff)?;
        let charge = store.charge(agent, put.length).await?;
        let bytes = self.receive(put, rest).await?;
        store.store(BlobPlace { owner: agent, digest: put.digest }, bytes, charge).await?;
        let stored = ServerMessage::BlobStored(BlobAnswer { digest: put.digest });
        self.answer(header, &stored, Bytes::new()).await
    }

    /// Receives exactly the bytes that were announced, and checks that they are those.
    async fn receive(&mut self, put: &BlobPut, mut bytes: Vec<u8>) -> Result<Vec<u8>, BlobError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        while bytes.len() as u64 <= put.length {
            let chunk = self.recv.read_chunk(FRAME_BYTES_MAX, true).await;
            let Some(chunk) = chunk.map_err(|_| BlobError::CutOff)? else { break };
            hasher.update(&chunk.bytes);
            bytes.extend_from_slice(&chunk.bytes);
        }
        let digest = Digest::new(*hasher.finalize().as_bytes());
        if bytes.len() as u64 != put.length || digest != put.digest {
            return Err(RejectReason::DigestMismatch.into());
        }
        Ok(bytes)
    }

    async fn get(
        &mut self,
        edge: &Edge,
        agent: AgentId,
        header: FrameHeader,
        get: &BlobGet,
    ) -> Result<(), BlobError> {
        let place = lock(&edge.fan_out.blobs).place(agent, get.source);
        let place = place.ok_or(RejectReason::UnknownBlob)?;
        let _permit = edge.blobs.in_flight.acquire().await.map_err(|_| BlobError::CutOff)?;
        let bytes = edge.blobs.fetch(place).await?;
        let length = bytes.len() as u64;
        let ready = ServerMessage::BlobReady(BlobReady { digest: place.digest, length });
        self.answer(header, &ready, bytes).await
    }

    /// Writes the answer and what follows it, and ends the stream.
    async fn answer(
        &mut self,
        header: FrameHeader,
        answer: &ServerMessage,
        blob: Bytes,
    ) -> Result<(), BlobError> {
        let mut frame = Vec::new();
        answer.encode(self.codec, header.number, &mut frame);
        let mut pieces = [Bytes::from(frame), blob];
        self.send.write_all_chunks(&mut pieces).await.map_err(|_| BlobError::CutOff)?;
        self.send.finish().map_err(|_| BlobError::CutOff)
    }
}

impl BlobStore {
    pub fn new(objects: Arc<dyn ObjectStore>, bytes_per_agent_max: u64) -> Self {
        Self {
            objects,
            bytes_per_agent_max,
            charged: Mutex::default(),
            in_flight: Semaphore::new(BLOBS_IN_FLIGHT_MAX),
        }
    }

    /// Charges an agent for a blob before any of it is received.
    async fn charge(&self, agent: AgentId, length: u64) -> Result<Charge<'_>, RejectReason> {
        if !lock(&self.charged).contains_key(&agent) {
            let folder = Path::from(agent.to_string());
            let listed = self.objects.list_with_delimiter(Some(&folder)).await;
            let listed = listed.map_err(storage_failed)?;
            let stored = listed.objects.iter().map(|object| charge_bytes(object.size)).sum();
            lock(&self.charged).entry(agent).or_insert(stored);
        }
        let bytes = charge_bytes(length);
        let mut charged = lock(&self.charged);
        let total = charged.entry(agent).or_default();
        if *total + bytes > self.bytes_per_agent_max {
            return Err(RejectReason::BlobQuota);
        }
        *total += bytes;
        Ok(Charge { store: self, agent, bytes })
    }

    /// Stores a blob. One that is there already costs nothing.
    async fn store(
        &self,
        place: BlobPlace,
        bytes: Vec<u8>,
        charge: Charge<'_>,
    ) -> Result<(), RejectReason> {
        let path = path(place);
        match self.objects.head(&path).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(storage_failed(error)),
        }
        self.objects.put(&path, bytes.into()).await.map_err(storage_failed)?;
        charge.keep();
        Ok(())
    }

    async fn fetch(&self, place: BlobPlace) -> Result<Bytes, RejectReason> {
        let object = match self.objects.get(&path(place)).await {
            Err(object_store::Error::NotFound { .. }) => return Err(RejectReason::UnknownBlob),
            object => object.map_err(storage_failed)?,
        };
        object.bytes().await.map_err(storage_failed)
    }
}

/// Bytes charged for a blob that is not stored yet; given back unless it is kept.
#[derive(Debug)]
struct Charge<'a> {
    store: &'a BlobStore,
    agent: AgentId,
    bytes: u64,
}

impl Charge<'_> {
    fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if let Some(total) = lock(&self.store.charged).get_mut(&self.agent) {
            *total -= self.bytes;
        }
    }
}

fn charge_bytes(length: u64) -> u64 {
    length.max(BLOB_CHARGE_BYTES_MIN)
}

fn path(place: BlobPlace) -> Path {
    Path::from(format!("{}/{}", place.owner, place.digest))
}

fn storage_failed(error: object_store::Error) -> RejectReason {
    tracing::error!(error = &error as &dyn std::error::Error, "the blob store failed");
    RejectReason::StorageFailed
}
