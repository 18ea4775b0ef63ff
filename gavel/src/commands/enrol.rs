//! `gavel enrol`: the operator enrols an agent with an account of its own.

use anyhow::Context as _;
use gavel_protocol::{Attributes, PublicKey, Roles};
use serde_json::json;

use crate::Exit;
use crate::args::{EnrolArgs, RoleArg};
use crate::commands::block_on;
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

/// Enrols.
pub fn run(args: EnrolArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(enrol(args, output))
}

async fn enrol(args: EnrolArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let operator = data.connect(OPERATOR).await?;
    let key = data.key_or_new(&args.name)?;
    let account = operator.enrol_account(args.transaction_max).await;
    let account = account.context("cannot enrol an account")?;
    let public = PublicKey::new(key.verifying_key().to_bytes());
    let attributes: Attributes = args.attributes.into_iter().collect();
    let roles = Roles::from(args.role);
    let agent = operator.enrol_agent(account, public, roles, attributes).await;
    let agent = agent.with_context(|| format!("cannot enrol {}", args.name))?;
    data.note_agent(&args.name, agent)?;
    let mut text = format!("{} is {agent} of {account}", args.name);
    if let Some(amount) = args.deposit {
        operator.deposit(account, amount, args.currency).await.context("cannot deposit")?;
        text = format!("{text}, with {amount} {}", args.currency);
    }
    operator.close().await;
    let enrolled = json!({
        "name": args.name,
        "agent": agent,
        "account": account,
        "roles": roles,
        "attributes": attributes,
    });
    output.summary(text, &enrolled);
    Ok(Exit::Done)
}

impl From<RoleArg> for Roles {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Trader => Self::TRADER,
            RoleArg::Solver => Self::SOLVER,
        }
    }
}
