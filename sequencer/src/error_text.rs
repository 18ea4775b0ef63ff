//! Errors as people read them.

use std::error::Error;

/// Writes an error with its causes, each once: some say their own causes, too.
pub fn error_text(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file is full")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write: the file is full")]
    struct Repeating(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("nothing is kept")]
    struct Outer(#[source] Repeating);

    #[test]
    fn each_cause_is_written_once() {
        let text = error_text(&Outer(Repeating(Inner)));
        assert_eq!(text, "nothing is kept: cannot write: the file is full");
    }
}
