//! What source files look like, and the words that have no place in them.

use super::{File, assert_none, files};

/// Lines of one file. A file is one idea; long before this, ask which.
const LINES_MAX: usize = 700;

/// Words that say nothing about what a thing is.
const EMPTY_NAMES: [&str; 9] =
    ["manager", "managers", "helper", "helpers", "util", "utils", "utilities", "misc", "common"];

/// What has no place in the repository, and why. The parts are put together here, so that this file
/// does not contain what it looks for.
const BANNED: &[(&str, &str)] = &[
    (concat!("to", "do!"), "finish it, or leave it out"),
    (concat!("unimple", "mented!"), "finish it, or leave it out"),
    (concat!("#[ig", "nore"), "a test that does not run tests nothing"),
    (concat!("Co-auth", "ored"), "belongs into no file"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("the des", "ign "), "say it here, or name a document of this repository"),
    (concat!("the des", "ign's"), "say it here, or name a document of this repository"),
];

#[test]
fn banned_words_do_not_occur() {
    let mut wrong = Vec::new();
    for file in files(&[".rs", ".md"]) {
        wrong.extend(banned_in(&file));
    }
    assert_none(&wrong, "These words have no place in the repository:");
}

#[test]
fn names_say_what_a_thing_is() {
    let mut wrong = Vec::new();
    for file in files(&[".rs"]) {
        wrong.extend(empty_names_in(&file));
    }
    assert_none(
        &wrong,
        "Rename it after what it is: no `get_`, and no manager, helper, util, misc or common:",
    );
}

#[test]
fn a_bad_word_and_an_empty_name_are_found() {
    let line = concat!("// to", "do! see /ho", "me/me\nfn f() {}\n");
    assert_eq!(banned_in(&file("a.rs", line)).len(), 2);
    let bad = concat!("fn ", "get_price() {}\nstruct ", "RfqManager;\nmod ", "string_utils;\n");
    let good = "use rkyv::util;\nfn getter() {}\nlet uncommon = 1;\n// a helper\n";
    let source = format!("{bad}{good}");
    let found = empty_names_in(&file("src/a.rs", &source));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(empty_names_in(&file("src/test_helpers/mod.rs", "")).len(), 1);
}

#[test]
fn files_are_short_and_begin_with_why_they_exist() {
    let mut wrong = Vec::new();
    for file in files(&[".rs"]) {
        wrong.extend(faults_of_shape(&file));
    }
    assert_none(&wrong, "A file is one idea, and says which:");
}

#[test]
fn a_file_without_its_first_line_or_too_long_is_found() {
    assert!(faults_of_shape(&file("a.rs", "//! Why.\n")).is_empty());
    assert_eq!(faults_of_shape(&file("a.rs", "use std::fs;\n")).len(), 1);
    assert_eq!(faults_of_shape(&file("a.rs", "//!\n")).len(), 1);
    assert_eq!(faults_of_shape(&file("a.rs", &"//! Why.\n".repeat(LINES_MAX + 1))).len(), 1);
}

#[test]
fn every_limit_is_used() {
    let wrong = unused_limits(&files(&[".rs"]));
    assert_none(&wrong, "A limit that nothing keeps to is not one: use it, or take it away:");
}

#[test]
fn a_limit_that_nobody_uses_is_found() {
    let limits = file("a/src/limits.rs", "pub const USED_MAX: u8 = 1;\npub const A_MAX: u8 = 2;\n");
    let user = file("b/src/lib.rs", "// A_MAX\nlet x = USED_MAX + OTHER_A_MAX;\n");
    assert_eq!(unused_limits(&[limits, user]), ["a/src/limits.rs: A_MAX"]);
}

fn banned_in(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (word, why) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
            found.push(format!("{}:{}: `{word}`: {why}", file.path, index + 1));
        }
    }
    found
}

fn empty_names_in(file: &File) -> Vec<String> {
    let path_parts = file.path.trim_end_matches(".rs").split('/');
    let mut found: Vec<_> = path_parts.filter(|part| is_empty_name(part)).collect();
    for line in file.text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let words: Vec<_> = line.split(|c: char| !is_identifier(c)).collect();
        let definitions = words.windows(2).filter(|pair| defines(pair[0]));
        let bad = definitions.filter(|pair| {
            is_empty_name(pair[1]) || (pair[0] == "fn" && pair[1].starts_with("get_"))
        });
        found.extend(bad.map(|pair| pair[1]));
    }
    found.into_iter().map(|name| format!("{}: `{name}`", file.path)).collect()
}

/// Returns whether the word after `keyword` is a new name.
fn defines(keyword: &str) -> bool {
    let keywords =
        ["fn", "mod", "struct", "enum", "trait", "type", "const", "static", "let", "mut", "union"];
    keywords.contains(&keyword)
}

/// Returns whether a part of the name, in snake or camel case, is an empty word.
fn is_empty_name(name: &str) -> bool {
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            words.push('_');
        }
        words.extend(c.to_lowercase());
    }
    words.split('_').any(|word| EMPTY_NAMES.contains(&word))
}

fn faults_of_shape(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let first = file.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_none_or(|why| why.trim().is_empty()) {
        faults.push(format!("{}: begin with a `//!` line that says why it exists", file.path));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{}: {lines} lines, at most {LINES_MAX}: split it", file.path));
    }
    faults
}

/// Returns the constants of every `limits.rs` that no code outside it names.
fn unused_limits(files: &[File]) -> Vec<String> {
    let mut unused = Vec::new();
    for limits in files.iter().filter(|file| file.path.ends_with("src/limits.rs")) {
        for line in limits.text.lines() {
            let Some((name, _)) = line.strip_prefix("pub const ").and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            let others = files.iter().filter(|file| file.path != limits.path);
            if !others.into_iter().any(|file| names(&file.text, name)) {
                unused.push(format!("{}: {name}", limits.path));
            }
        }
    }
    unused
}

/// Returns whether code, rather than a comment, contains the identifier `name`.
fn names(text: &str, name: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split(|c: char| !is_identifier(c))).any(|word| word == name)
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}
