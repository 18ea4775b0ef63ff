//! A subscriber who has missed more than memory keeps: it gets from the projection what is older, page by page
//! and as fast as it reads, and then joins those who listen.

use std::ops::Range;
use std::sync::Arc;

use gavel_protocol::{CloseReason, Codec, Frames, TEMPLATE_VERSION, Topic};
use gavel_sequencer::projection::StreamHistory;
use quinn::SendStream;
use tokio::time::{Instant, sleep};

use crate::carrier::OpenSubscription;
use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::limits::{EVENTS_PER_PAGE_MAX, GAP_WAIT_MAX, RETRY_INTERVAL};
use crate::lock::lock;
use crate::serve::write_events;
use crate::streams::{StreamEvent, StreamKey, opened};

/// A subscription that memory cannot serve.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub session_seq: u64,
    pub topic: Topic,
    pub key: StreamKey,
    /// The first event that is wanted.
    pub from: u64,
    /// The numbers of the events that are in memory.
    pub kept: Range<u64>,
}

/// Events that follow each other.
pub(crate) struct Page {
    /// As frames, in the client's codec.
    frames: Vec<u8>,
    /// The number of the event after them.
    next: u64,
}

impl Page {
    /// Reads the first events of a gap that are projected, if the first one is.
    pub async fn read(history: &StreamHistory, gap: &Gap, codec: Codec) -> Option<Self> {
        // The projection may be ahead of what is published here.
        let count = usize::try_from(gap.kept.end.saturating_sub(gap.from)).unwrap_or(usize::MAX);
        let stream = gap.key.to_string();
        let found = history.read(&stream, gap.from, count.min(EVENTS_PER_PAGE_MAX)).await;
        let mut page = Self { frames: Vec::new(), next: gap.from };
        for frame in found {
            let event = event_of(gap.key, page.next, &frame)?;
            event.encode(codec, page.next, &mut page.frames);
            page.next += 1;
        }
        (page.next > gap.from).then_some(page)
    }
}

/// Reads an event from the frame that is projected.
fn event_of(key: StreamKey, number: u64, frame: &[u8]) -> Option<StreamEvent> {
    let (header, payload) = Frames::new(frame).next_frame().ok()??;
    let is_this = header.number == number && header.version == TEMPLATE_VERSION;
    is_this.then(|| StreamEvent::decode(key, header.template, payload))?
}

/// Writes out a subscription's stream from its first page on. A client that does not get to what is in memory is
/// closed as a slow consumer.
pub(crate) async fn write_from(
    first: Page,
    mut gap: Gap,
    (fan_out, history): (Arc<FanOut>, StreamHistory),
    connection: Arc<Connection>,
    mut send: SendStream,
) {
    let mut frames = opened(gap.topic, gap.from, connection.codec);
    let mut page = first;
    loop {
        frames.append(&mut page.frames);
        gap.from = page.next;
        if send.write_all(&frames).await.is_err() {
            return;
        }
        frames.clear();
        let subscribed = lock(&fan_out.streams).join(gap.key, gap.from, &connection, Vec::new());
        match subscribed {
            Ok(subscription) => {
                let open = OpenSubscription { key: gap.key, subscription };
                let joined = Joined { fan_out: &fan_out, open };
                return write_events(&joined.open.subscription, send).await;
            }
            Err(kept) => gap.kept = kept,
        }
        let Some(next) = next_page(&history, &gap, connection.codec).await else {
            return connection.close(CloseReason::SlowConsumer);
        };
        page = next;
    }
}

/// Reads the next page, once it is projected.
async fn next_page(history: &StreamHistory, gap: &Gap, codec: Codec) -> Option<Page> {
    let until = Instant::now() + GAP_WAIT_MAX;
    loop {
        if let Some(page) = Page::read(history, gap, codec).await {
            return Some(page);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// A subscription that ends with the task that writes it out, however that ends.
struct Joined<'a> {
    fan_out: &'a FanOut,
    open: OpenSubscription,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        self.open.end(self.fan_out);
    }
}
