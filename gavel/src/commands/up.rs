//! `gavel up`: serve an exchange until asked to end.

use anyhow::bail;
use gavel_protocol::Settings;
use gavel_sequencer::Layout;
use serde_json::json;

use crate::Exit;
use crate::args::{LayoutArg, SignaturesArg, UpArgs};
use crate::commands::{block_on, listen_for_end};
use crate::data_dir::DataDir;
use crate::output::Output;
use crate::server::{Server, ServerConfig};

/// Serves.
pub fn run(args: UpArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(serve(args, output))
}

async fn serve(args: UpArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let settings = Settings {
        fee_ppm: args.fee_ppm,
        signatures_required: args.signatures == SignaturesArg::Required,
        quotes_per_s_max: args.quotes_per_s,
    };
    let server = Server::start(ServerConfig {
        journal: args.journal.place(&data)?,
        ack: args.ack.into(),
        data: data.clone(),
        projection: args.projection.map(|projection| projection.place()).transpose()?,
        audit: args.audit,
        quic: args.quic,
        http: args.http,
        certificate: args.cert.zip(args.key),
        layout: args.layout.into(),
        solvers: args.solvers,
        keep: Some(args.keep),
        name: args.name,
        settings,
    })
    .await?;
    let at = server.whereabouts().clone();
    let name = server.name().map_or_else(String::new, |name| name.to_string());
    let text = format!(
        "{name} serves QUIC on {} and HTTP on {}\n\
         data        {}\n\
         certificate {} (SHA-256)",
        at.quic,
        at.http,
        data.root().display(),
        at.fingerprint
    );
    let started = json!({
        "exchange": name,
        "quic": at.quic,
        "http": at.http,
        "fingerprint": at.fingerprint,
        "data": data.root(),
    });
    // Whoever reads that it serves may ask it to end at once.
    let ended = listen_for_end()?;
    output.summary(text, &started);

    let status = server.status();
    tokio::select! {
        () = ended => {}
        () = status.superseded() => bail!(
            "another exchange has taken over the journal. Everything acknowledged here is in it; \
             nothing is served here any more"
        ),
    }
    server.stop().await?;
    output.line("stopped");
    Ok(Exit::Done)
}

impl From<LayoutArg> for Layout {
    fn from(layout: LayoutArg) -> Self {
        match layout {
            LayoutArg::Inline => Self::Inline,
            LayoutArg::Thread => Self::Thread,
        }
    }
}
