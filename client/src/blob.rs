//! Blobs: bytes by their digest, each over a QUIC stream of its own.

use gavel_protocol::limits::BLOB_BYTES_MAX;
use gavel_protocol::{
    BlobGet, BlobPut, BlobReady, BlobSource, ClientMessage, Digest, RejectReason, RejectedAnswer,
    ServerMessage,
};
use quinn::{Connection, WriteError};

use crate::client::Client;
use crate::connection::next_message;
use crate::error::{ClientError, CommandError};
use crate::frame_buffer::FrameBuffer;

impl Client {
    /// Stores bytes in the agent's own place and returns their digest.
    ///
    /// # Errors
    ///
    /// If it was rejected, or the client ended before the answer came.
    pub async fn put_blob(&self, bytes: &[u8]) -> Result<Digest, CommandError> {
        let digest = digest_of(bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > BLOB_BYTES_MAX {
            return Err(CommandError::Rejected(RejectedAnswer::of(RejectReason::BlobTooLarge)));
        }
        let put = ClientMessage::BlobPut(BlobPut { digest, length });
        let mut connection = self.connection(None).await?;
        loop {
            match self.try_put(&connection, &put, bytes).await {
                Err(error) if is_lost(&connection, &error) => {
                    connection = self.connection(Some(&connection)).await?;
                }
                answer => return answer.map(|()| digest),
            }
        }
    }

    /// Fetches a blob whole; its bytes have the digest that was asked for or announced.
    ///
    /// # Errors
    ///
    /// If it was rejected, the bytes are wrong, or the client ended before they came.
    pub async fn fetch_blob(&self, source: BlobSource) -> Result<Vec<u8>, CommandError> {
        let mut connection = self.connection(None).await?;
        loop {
            match self.try_fetch(&connection, source).await {
                Err(error) if is_lost(&connection, &error) => {
                    connection = self.connection(Some(&connection)).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn try_put(
        &self,
        connection: &Connection,
        put: &ClientMessage,
        bytes: &[u8],
    ) -> Result<(), CommandError> {
        let (mut send, mut recv) = connection.open_bi().await.map_err(ClientError::from)?;
        let mut header = Vec::new();
        put.encode(self.codec(), 0, &mut header);
        let written = async {
            send.write_all(&header).await?;
            send.write_all(bytes).await
        };
        match written.await {
            Ok(()) => _ = send.finish(),
            // The server has read enough to know its answer.
            Err(WriteError::Stopped(_)) => {}
            Err(error) => return Err(ClientError::from(error).into()),
        }
        let answer = next_message(self.codec(), &mut FrameBuffer::new(), &mut recv).await?;
        if let ServerMessage::BlobStored(_) = answer {
            return Ok(());
        }
        Err(CommandError::of(answer))
    }

    async fn try_fetch(
        &self,
        connection: &Connection,
        source: BlobSource,
    ) -> Result<Vec<u8>, CommandError> {
        let (mut send, mut recv) = connection.open_bi().await.map_err(ClientError::from)?;
        let mut header = Vec::new();
        ClientMessage::BlobGet(BlobGet { source }).encode(self.codec(), 0, &mut header);
        send.write_all(&header).await.map_err(ClientError::from)?;
        _ = send.finish();
        let mut frames = FrameBuffer::new();
        let answer = next_message(self.codec(), &mut frames, &mut recv).await?;
        let ServerMessage::BlobReady(BlobReady { digest, length }) = answer else {
            return Err(CommandError::of(answer));
        };
        if length > BLOB_BYTES_MAX {
            return Err(ClientError::Unexpected("a blob above the largest allowed").into());
        }
        let mut bytes = Vec::new();
        loop {
            bytes.extend_from_slice(frames.take_rest());
            if bytes.len() as u64 >= length {
                break;
            }
            frames.fill(&mut recv).await?;
        }
        let wanted = if let BlobSource::Own(wanted) = source { wanted } else { digest };
        if digest_of(&bytes) != digest || digest != wanted {
            return Err(ClientError::BlobCorrupt.into());
        }
        Ok(bytes)
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(*blake3::hash(bytes).as_bytes())
}

/// Returns whether an attempt failed only because its connection did.
fn is_lost(connection: &Connection, error: &CommandError) -> bool {
    matches!(error, CommandError::Connection(_)) && connection.close_reason().is_some()
}
