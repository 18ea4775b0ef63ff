//! Memory in pages of two mebibytes: an address costs fewer look-ups then, and the big tables are
//! found faster. It takes more memory, because a page that is touched anywhere is there as a whole.

use std::env;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Tells the allocator to ask the kernel for huge pages. It reads its environment before `main`.
const VARIABLE: &str = "MIMALLOC_ALLOW_LARGE_OS_PAGES";

/// Makes this process ask for huge pages: it begins anew, once, unless it was told so already.
///
/// # Errors
///
/// If this program cannot be started anew.
pub fn prefer() -> io::Result<()> {
    if env::var_os(VARIABLE).is_some() {
        return Ok(());
    }
    let program = env::current_exe()?;
    Err(Command::new(program).args(env::args_os().skip(1)).env(VARIABLE, "1").exec())
}

/// Lets a command have pages of the usual size.
pub fn without(command: &mut Command) -> &mut Command {
    command.env(VARIABLE, "0")
}
