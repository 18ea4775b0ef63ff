//! Documents that cannot rot: what they name exists, and what is generated is up to date.

use std::path::Path;

use super::{assert_none, files};
use crate::docs::{DOCUMENT, replace_tables, tables};

#[test]
fn paths_that_documents_name_exist() {
    let root = crate::root().unwrap();
    let mut wrong = Vec::new();
    for file in files(&[".md"]) {
        if file.path == "README.md" || file.path.starts_with("docs/") {
            let missing = paths_in(&file.text, &root).filter(|path| !root.join(path).exists());
            wrong.extend(missing.map(|path| format!("{}: `{path}`", file.path)));
        }
    }
    assert_none(&wrong, "These paths do not exist: correct them, or write them without backticks:");
}

#[test]
fn a_path_is_told_from_other_code() {
    let root = crate::root().unwrap();
    let text = "See `xtask/src/main.rs` and `client/gone.rs:7`, not `gavel/1`, `cargo xtask test`,\n\
                `application/json`, `a/b.rs` or\n```text\n`xtask/fenced.rs`\n```\nbut `xtask/src/`.";
    let paths: Vec<_> = paths_in(text, &root).collect();
    assert_eq!(paths, ["xtask/src/main.rs", "client/gone.rs", "xtask/src/"]);
}

#[test]
fn generated_tables_are_up_to_date() {
    let documents = files(&["PROTOCOL.md"]);
    let Some(document) = documents.iter().find(|file| file.path == DOCUMENT) else { return };
    let expected = replace_tables(&document.text, &tables().unwrap()).unwrap();
    assert!(
        document.text == expected,
        "the tables of {DOCUMENT} are not those of the protocol: run `cargo xtask docs`"
    );
}

/// Returns the paths of the repository that stand in backticks outside fenced blocks: whatever
/// begins with one of its directories and ends like a file or a directory.
fn paths_in<'a>(text: &'a str, root: &Path) -> impl Iterator<Item = &'a str> {
    let outside_fences = text.split("```").step_by(2);
    let code = outside_fences.flat_map(|part| part.split('`').skip(1).step_by(2));
    code.map(without_line_number).filter(move |code| {
        let path_like = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let Some((first, rest)) = code.split_once('/') else { return false };
        let last = rest.rsplit('/').next().unwrap_or(rest);
        code.chars().all(path_like)
            && root.join(first).is_dir()
            && !first.is_empty()
            && (last.is_empty() || last.contains('.'))
    })
}

fn without_line_number(code: &str) -> &str {
    match code.rsplit_once(':') {
        Some((path, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => path,
        Some(_) | None => code,
    }
}
