//! Picking a quote of the book that a buyer's choice shows: the best one, or whichever a person
//! says.

use std::future::pending;
use std::io::{self, BufRead as _};

use gavel_protocol::{QuoteId, QuoteRef, QuoteShown};
use tokio::sync::mpsc;

use crate::args::PickArg;
use crate::output::Output;

/// A book that is being shown, and what is to be picked of it.
pub struct Picking {
    how: PickArg,
    /// Quotes that will be shown in all.
    expected: u32,
    book: Vec<QuoteShown>,
    picked: Option<mpsc::Receiver<QuoteId>>,
}

impl Picking {
    /// Waits for a book.
    pub fn new(how: PickArg) -> Self {
        Self { how, expected: 0, book: Vec::new(), picked: None }
    }

    /// Begins with the book: so many quotes follow.
    pub fn open(&mut self, shown: u32) {
        self.expected = shown;
        self.book.clear();
    }

    /// Takes a quote of the book. With the last one, picks or asks.
    pub fn show(&mut self, shown: QuoteShown, output: &Output) {
        self.book.push(shown);
        output.note(line(&shown));
        if self.book.len() < self.expected as usize {
            return;
        }
        let (picks, picked) = mpsc::channel(1);
        self.picked = Some(picked);
        match self.how {
            PickArg::Best => {
                // Without one that can be picked, the RFQ passes.
                if let Some(best) = self.book.iter().find_map(pickable) {
                    picks.try_send(best).expect("an empty channel has room for one");
                }
            }
            PickArg::Ask => ask(self.book.clone(), picks, *output),
        }
    }

    /// Waits for what is picked. Nothing may ever be.
    pub async fn picked(&mut self) -> QuoteId {
        if let Some(picked) = &mut self.picked
            && let Some(quote) = picked.recv().await
        {
            return quote;
        }
        pending().await
    }
}

/// Asks on standard input, on a thread of its own: nobody can be made to answer, and the RFQ passes
/// without an answer.
fn ask(book: Vec<QuoteShown>, picks: mpsc::Sender<QuoteId>, output: Output) {
    std::thread::spawn(move || {
        output.note("which one? Its rank, or nothing to let the RFQ pass:");
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if line.trim().is_empty() {
                return;
            }
            let rank = line.trim().parse().unwrap_or(0);
            let chosen = book.iter().find(|shown| shown.rank == rank);
            match chosen.and_then(pickable) {
                Some(quote) => {
                    // Whoever waited for it may have gone in the meantime.
                    _ = picks.blocking_send(quote);
                    return;
                }
                None => output.note("expected the rank of a quote that can be picked:"),
            }
        }
    });
}

/// Returns the quote that is shown, if it can be picked.
fn pickable(shown: &QuoteShown) -> Option<QuoteId> {
    match (shown.quote, shown.barred) {
        (QuoteRef::Sealed(quote), None) => Some(quote),
        (QuoteRef::Sealed(_), Some(_))
        | (QuoteRef::Standing | QuoteRef::Take | QuoteRef::Bundle(_), _) => None,
    }
}

fn line(shown: &QuoteShown) -> String {
    let QuoteShown { rank, price, latency_ms, reputation_bps, score, provider, .. } = *shown;
    let barred = match shown.barred {
        Some(reason) => format!("; cannot be picked: {}", reason.info().meaning),
        None => String::new(),
    };
    format!(
        "{rank:>4}  {price} within {latency_ms} ms, reputation {reputation_bps}, score {score}, by \
         {provider}{barred}"
    )
}
