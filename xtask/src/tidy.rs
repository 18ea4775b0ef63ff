//! The rules of the house as tests, so that nobody has to review them.

mod crates;
mod documents;
mod sources;

use std::fs;
use std::path::Path;

/// A file of the repository.
struct File {
    /// Its path from the workspace's directory, with forward slashes.
    path: String,
    text: String,
}

/// Returns the text files whose names end with one of `endings`, in the order of their paths.
fn files(endings: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    collect(&crate::root().unwrap(), "", endings, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(directory: &Path, prefix: &str, endings: &[&str], files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            // Outputs of builds and of a running exchange, and what belongs to tools.
            if !name.starts_with('.') && !["target", "gavel-data"].contains(&name.as_str()) {
                collect(&entry.path(), &format!("{path}/"), endings, files);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            files.push(File { path, text: fs::read_to_string(entry.path()).unwrap() });
        }
    }
}

/// Fails with everything that is wrong, and what to do about it.
#[track_caller]
fn assert_none(wrong: &[String], what_to_do: &str) {
    assert!(wrong.is_empty(), "{what_to_do}\n  {}\n", wrong.join("\n  "));
}
