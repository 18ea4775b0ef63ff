//! Memory in pages of two mebibytes, which the allocator asks the kernel for unless it is told not to.
//!
//! An address costs fewer look-ups then, so a market with many standing quotes is faster; but a page
//! that is touched anywhere is there as a whole, so an exchange takes six times the memory that it needs.

use std::io;

/// Has pages of the usual size from now on.
///
/// # Errors
///
/// If the kernel knows nothing of it.
pub fn forgo() -> io::Result<()> {
    Ok(rustix::thread::disable_transparent_huge_pages(true)?)
}
