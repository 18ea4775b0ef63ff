//! Threads of their own for what is measured: each with a current-thread runtime, as `gavel up` has
//! one, so that the echo and the exchange are laid out alike.

use std::future::Future;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use tokio::sync::oneshot;

/// Something that serves on a thread and a runtime of its own until it is stopped.
pub struct Beside {
    thread: JoinHandle<anyhow::Result<()>>,
    stop: oneshot::Sender<()>,
}

/// Told when to stop; ready also when whoever could tell is gone.
pub type Stop = oneshot::Receiver<()>;

impl Beside {
    /// Starts it.
    pub fn start<S>(
        name: &str,
        serve: impl FnOnce(Stop) -> S + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        S: Future<Output = anyhow::Result<()>>,
    {
        let (stop, stopped) = oneshot::channel();
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("cannot start a runtime")?.block_on(serve(stopped))
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        Ok(Self { thread: thread.context("cannot start a thread")?, stop })
    }

    /// Stops it, and returns how it ended.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        // Not on this thread: its clients have to answer when the server says goodbye.
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        joined.map_err(|_| anyhow!("the thread under test panicked"))?
    }
}
