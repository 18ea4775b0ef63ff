//! Starts a private PostgreSQL server for a person, and stops it when its standard input ends.

use std::io::{self, Read as _, Write as _};

use gavel_tests::postgres::Database;

fn main() -> io::Result<()> {
    let database = Database::shared();
    writeln!(io::stdout(), "{}", database.url())?;
    writeln!(io::stderr(), "Ctrl-D stops the server, and everything in it is gone.")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
