//! The generated tables of the protocol document: from the protocol's own enumerations, so that the
//! document cannot say anything else than the code.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use gavel_protocol::{
    ClientMessage, CloseReason, Command, LossReason, PrivateEvent, PublicEvent, ReasonInfo,
    RejectReason, ServerMessage, Template,
};

use crate::command::say;

/// The document that has the tables, from the workspace's directory.
pub const DOCUMENT: &str = "docs/PROTOCOL.md";

/// Where the sizes are that both ends of the wire rely on.
const LIMITS: &str = "protocol/src/limits.rs";

/// Where one sample of each template is, as the protocol's tests write it.
const SAMPLES: &str = "protocol/tests/templates.golden";

/// A generated part of the document.
pub struct Table {
    /// The name in the markers around it.
    name: &'static str,
    /// Its lines.
    text: String,
}

/// Writes the tables anew.
///
/// # Errors
///
/// If the document cannot be read or written, or has not exactly the tables that there are.
pub fn write() -> Result<()> {
    let path = crate::root()?.join(DOCUMENT);
    let document = fs::read_to_string(&path).with_context(|| format!("reading {DOCUMENT}"))?;
    fs::write(&path, replace_tables(&document, &tables()?)?)
        .with_context(|| format!("writing {DOCUMENT}"))?;
    say(&format!("wrote the tables of {DOCUMENT}"));
    Ok(())
}

/// Returns every table.
///
/// # Errors
///
/// If the limits cannot be read.
pub fn tables() -> Result<Vec<Table>> {
    let limits = fs::read_to_string(crate::root()?.join(LIMITS))
        .with_context(|| format!("reading {LIMITS}"))?;
    let samples = fs::read_to_string(crate::root()?.join(SAMPLES))
        .with_context(|| format!("reading {SAMPLES}"))?;
    let templates = |name, templates| Table { name, text: template_table(templates) };
    fn reasons<T: Copy>(name: &'static str, all: &[T], info: fn(T) -> ReasonInfo) -> Table {
        Table { name, text: reason_table(all.iter().map(|reason| info(*reason))) }
    }
    Ok(vec![
        templates("client messages", ClientMessage::TEMPLATES),
        templates("commands", Command::TEMPLATES),
        templates("server messages", ServerMessage::TEMPLATES),
        templates("private events", PrivateEvent::TEMPLATES),
        templates("public events", PublicEvent::TEMPLATES),
        reasons("reject reasons", RejectReason::ALL, RejectReason::info),
        Table { name: "loss reasons", text: loss_table() },
        reasons("close reasons", CloseReason::ALL, CloseReason::info),
        Table { name: "limits", text: limit_table(&limits)? },
        Table { name: "json samples", text: json_samples(&samples) },
    ])
}

/// Returns the document with its tables replaced by `tables`.
///
/// # Errors
///
/// If a table has no place in the document.
pub fn replace_tables(document: &str, tables: &[Table]) -> Result<String> {
    let mut document = document.to_owned();
    for Table { name, text } in tables {
        let begin = format!("<!-- BEGIN generated: {name} -->");
        let end = format!("<!-- END generated: {name} -->");
        let Some((before, rest)) = document.split_once(&begin) else {
            bail!("{DOCUMENT} has no line `{begin}`: add it, and `{end}` below it");
        };
        let Some((_, after)) = rest.split_once(&end) else {
            bail!("{DOCUMENT} has `{begin}`, but no line `{end}` below it: add it");
        };
        document = format!("{before}{begin}\n\n{text}\n{end}{after}");
    }
    Ok(document)
}

/// Returns the JSON payload of each sample.
fn json_samples(samples: &str) -> String {
    let mut text = String::from("```text\n");
    for line in samples.lines() {
        match line.strip_prefix("  json ") {
            Some(json) => writeln!(text, "{json}\n").expect("a String takes everything"),
            None if line.starts_with(' ') => {}
            None => writeln!(text, "{line}").expect("a String takes everything"),
        }
    }
    text.truncate(text.trim_end().len());
    text.push_str("\n```\n");
    text
}

fn template_table(templates: &[Template]) -> String {
    let rows = templates.iter().map(|template| {
        let Template { id, name, doc, .. } = template;
        format!("| {id} | `{name}` | {} |", cell(doc))
    });
    table("| template | name | what it says |\n|---:|---|---|", rows)
}

fn reason_table(reasons: impl Iterator<Item = ReasonInfo>) -> String {
    let rows = reasons.map(|reason| {
        let ReasonInfo { code, name, transient, meaning, remedy } = reason;
        let transient = if transient { "yes" } else { "no" };
        format!("| {code} | `{name}` | {transient} | {} | {} |", cell(meaning), cell(remedy))
    });
    table("| code | name | transient | meaning | what to do |\n|---:|---|---|---|---|", rows)
}

/// Returns the table of the loss reasons, with the nearest code of OpenRTB.
fn loss_table() -> String {
    let rows = LossReason::ALL.iter().map(|reason| {
        let ReasonInfo { code, name, transient, meaning, remedy } = reason.info();
        let (transient, openrtb) = (if transient { "yes" } else { "no" }, reason.openrtb());
        let (meaning, remedy) = (cell(meaning), cell(remedy));
        format!("| {code} | `{name}` | {transient} | {openrtb} | {meaning} | {remedy} |")
    });
    let head =
        "| code | name | transient | OpenRTB | meaning | what to do |\n|---:|---|---|---:|---|---|";
    table(head, rows)
}

/// Returns the table of the constants in a `limits.rs`: name, value as it is written, and meaning.
fn limit_table(source: &str) -> Result<String> {
    let (mut rows, mut doc) = (Vec::new(), Vec::new());
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let parts = constant.split_once(": ").and_then(|(name, rest)| {
                let (_, value) = rest.split_once(" = ")?;
                Some((name, value.strip_suffix(';')?))
            });
            let Some((name, value)) = parts else {
                bail!("{LIMITS}: expected `{line}` to be `pub const NAME: Type = value;`");
            };
            rows.push(format!("| `{name}` | {} | {} |", value_text(value), cell(&doc.join(" "))));
            doc.clear();
        }
    }
    Ok(table("| limit | value | meaning |\n|---|---:|---|", rows.into_iter()))
}

/// Returns a constant's value as people write it.
fn value_text(value: &str) -> String {
    let value = value.replace('_', "").replace('*', "×");
    match value.strip_prefix("DurationNs::fromsecs(").and_then(|rest| rest.strip_suffix(')')) {
        Some(seconds) => format!("{seconds} s"),
        None => value,
    }
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    let mut text = format!("{head}\n");
    for row in rows {
        writeln!(text, "{row}").expect("a String takes everything");
    }
    text
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_as_people_write_it() {
        let source = "/// The longest\n/// window.\npub const WINDOW_MAX: DurationNs = \
                      DurationNs::from_secs(24 * 3_600);\n";
        let table = limit_table(source).unwrap();
        assert!(
            table.ends_with("| `WINDOW_MAX` | 24 × 3600 s | The longest window. |\n"),
            "{table}"
        );
        assert!(limit_table("pub const NONSENSE").is_err());
    }

    #[test]
    fn only_what_lies_between_the_markers_is_replaced() {
        let tables = [Table { name: "x", text: String::from("| new |\n") }];
        let (begin, end) = ("<!-- BEGIN generated: x -->", "<!-- END generated: x -->");
        let written = replace_tables(&format!("a\n{begin}\nold\n{end}\nb\n"), &tables).unwrap();
        assert_eq!(written, format!("a\n{begin}\n\n| new |\n\n{end}\nb\n"));
        assert_eq!(replace_tables(&written, &tables).unwrap(), written);
        assert!(replace_tables("nothing", &tables).is_err());
        assert!(replace_tables(begin, &tables).is_err());
    }

    #[test]
    fn every_template_and_reason_has_its_row() {
        let text: String = tables().unwrap().into_iter().map(|table| table.text).collect();
        for name in ["`OpenRfq`", "`Challenge`", "`QuoteLost`", "`Busy`", "`Superseded`"] {
            assert!(text.contains(name), "{name}");
        }
    }
}
