//! `gavel sim`: open-loop load against a running exchange.

use std::time::Duration;

use anyhow::Context as _;
use gavel_protocol::Codec;
use gavel_simulator::load::{AckSink, Load, LoadConfig, Sinks};

use crate::Exit;
use crate::args::{CodecArg, SimArgs};
use crate::commands::{asked_to_end, block_on};
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

/// How often the progress is said.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Loads an exchange.
pub fn run(args: SimArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(load(args, output))
}

async fn load(args: SimArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let (address, trust) = data.address()?;
    let config = LoadConfig {
        codec: args.codec.into(),
        seed: args.seed,
        duration: args.seconds.map(Duration::from_secs),
        buyers: args.buyers,
        providers: args.providers,
        capabilities: args.capabilities,
        rfqs_per_s: args.rfqs_per_s,
        window_zero_share: args.window_zero_share,
        standing_updates_per_s: args.standing_updates_per_s,
        blobs: args.blobs,
        ..LoadConfig::new(address, trust, data.key(OPERATOR)?)
    };
    let acks = match &args.acks {
        Some(path) => {
            let sink = AckSink::file(path);
            Some(sink.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => None,
    };
    let mut load = Load::start(config, Sinks { acks }).await.context("cannot start the load")?;
    let mut every = tokio::time::interval(PROGRESS_EVERY);
    every.tick().await;
    loop {
        tokio::select! {
            _ = every.tick() => output.line(load.progress()),
            () = load.ended() => break,
            ended = asked_to_end() => {
                ended?;
                break;
            }
        }
    }
    let report = load.stop().await;
    output.summary(&report, &report);
    Ok(Exit::Done)
}

impl From<CodecArg> for Codec {
    fn from(codec: CodecArg) -> Self {
        match codec {
            CodecArg::Rkyv => Self::Rkyv,
            CodecArg::Json => Self::Json,
        }
    }
}
