//! `gavel audit`: prove what happened to somebody who has neither the journal nor the database, and
//! check such a proof.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use gavel_sequencer::audit::{AuditError, AuditLog, AuditReader, Proof, SignedHead};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::{
    AuditArgs, AuditBuildArgs, AuditCheckArgs, AuditCommand, AuditListArgs, AuditProveArgs,
};
use crate::commands::{block_on, read, source};
use crate::data_dir::DataDir;
use crate::output::Output;

/// Does what is asked for.
pub fn run(command: &AuditCommand, output: &Output) -> anyhow::Result<Exit> {
    match command {
        AuditCommand::Build(args) => block_on(build(args, output)),
        AuditCommand::Head(args) => block_on(head(args, output)),
        AuditCommand::List(args) => block_on(list(args, output)),
        AuditCommand::Prove(args) => block_on(prove(args, output)),
        AuditCommand::Check(args) => check(args, output),
    }
}

async fn build(args: &AuditBuildArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let source = source(&args.journal, &data, args.rebuild).await?;
    let built = AuditLog::catch_up(source, data.audit()?, args.rebuild).await?;
    let AuditLog { seq, head } = built;
    let tree_size = head.as_ref().map_or(0, |head| head.tree_size);
    let text = format!("{tree_size} leaves from {seq} commands are in the audit log, and signed");
    output.summary(text, &json!({ "seq": seq, "head": head }));
    Ok(Exit::Done)
}

async fn head(args: &AuditArgs, output: &Output) -> anyhow::Result<Exit> {
    let mut log = open(args).await?;
    let head = log.latest_head().await?.ok_or(AuditError::NoHead)?;
    log.close().await?;
    output.summary(signed_text(&head), &head);
    Ok(Exit::Done)
}

async fn list(args: &AuditListArgs, output: &Output) -> anyhow::Result<Exit> {
    let mut log = open(&args.log).await?;
    let mut events = Vec::new();
    let listed = log.list(args.rfq, |entry| {
        events.push(json!({
            "event_id": entry.event_id,
            "ts_event": entry.ts_event,
            "kind": entry.kind,
            "event": parsed(&entry.event),
        }));
    });
    listed.await?;
    log.close().await?;
    let lines = events.iter().map(|event| {
        let field = |name: &str| event[name].as_str().unwrap_or_default();
        format!("{}  {}  {}", field("event_id"), field("ts_event"), field("kind"))
    });
    let text = match events.is_empty() {
        true => String::from("there are no such events in the audit log"),
        false => lines.collect::<Vec<_>>().join("\n"),
    };
    output.summary(text, &json!({ "events": events }));
    Ok(Exit::Done)
}

async fn prove(args: &AuditProveArgs, output: &Output) -> anyhow::Result<Exit> {
    let mut log = open(&args.log).await?;
    let proof = log.prove(args.event, args.since).await?;
    log.close().await?;
    output.line(serde_json::to_string(&proof).context("cannot write JSON")?);
    Ok(Exit::Done)
}

fn check(args: &AuditCheckArgs, output: &Output) -> anyhow::Result<Exit> {
    let proof = read_or_input(&args.proof)?;
    let earlier = args.earlier.as_deref().map(read_or_input).transpose()?;
    let (proof, earlier) = match checked(&proof, earlier.as_deref(), args) {
        Ok(checked) => checked,
        Err(error) => {
            let problem = format!("{error:#}");
            output.summary(&problem, &json!({ "verified": false, "problem": problem }));
            return Ok(Exit::NotVerified);
        }
    };
    let Proof { leaf_index, head, .. } = &proof;
    let earlier = earlier.map(|earlier| earlier.tree_size);
    let mut text = format!("{}\nis leaf {leaf_index} of\n{}", proof.event, signed_text(head));
    if let Some(size) = earlier {
        text += &format!("\nwhich goes on from the earlier head of {size} leaves");
    }
    if args.key.is_none() {
        text +=
            "\nthat this is the exchange's key is not checked: compare it, or give it with --key";
    }
    let summary = json!({
        "verified": true,
        "event_id": proof.event_id,
        "ts_event": proof.ts_event,
        "event": parsed(&proof.event),
        "leaf_index": leaf_index,
        "head": head,
        "key_checked": args.key.is_some(),
        "earlier_tree_size": earlier,
    });
    output.summary(text, &summary);
    Ok(Exit::Done)
}

/// Returns a proof and an earlier head, if they prove what they should.
fn checked(
    proof: &[u8],
    earlier: Option<&[u8]>,
    args: &AuditCheckArgs,
) -> anyhow::Result<(Proof, Option<SignedHead>)> {
    let proof: Proof = read_as(proof, "this is no proof of `gavel audit prove`")?;
    proof.check(args.key)?;
    let Some(earlier) = earlier else { return Ok((proof, None)) };
    let earlier: SignedHead = read_as(earlier, "the earlier head is no signed head")?;
    proof.check_since(&earlier)?;
    Ok((proof, Some(earlier)))
}

async fn open(args: &AuditArgs) -> Result<AuditReader, AuditError> {
    AuditReader::open(&DataDir::new(&args.data).audit_store()).await
}

fn signed_text(head: &SignedHead) -> String {
    let SignedHead { exchange, tree_size, root, ts_event, key, .. } = head;
    format!("{tree_size} leaves of {exchange} up to {ts_event}, root {root}\nsigned by {key}")
}

/// Returns a canonical text as JSON, to be read rather than checked.
fn parsed(event: &str) -> Value {
    serde_json::from_str(event).unwrap_or_default()
}

fn read_as<T: DeserializeOwned>(bytes: &[u8], otherwise: &'static str) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).context(otherwise)
}

/// Reads a file, or standard input.
fn read_or_input(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path != Path::new("-") {
        return read(path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(bytes)
}
