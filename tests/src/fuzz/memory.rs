//! The system's allocator with a count of what each thread holds: a target shows with it that an input of
//! few bytes does not ask for many.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted. Where it is not the global one, everything takes no memory.
pub struct Counted;

thread_local! {
    // Below zero, where a thread lets go of what others have asked for.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static HELD_AT_MOST: Cell<isize> = const { Cell::new(0) };
}

/// Does something, and returns what came of it.
///
/// # Panics
///
/// If it held more than `bytes_max` bytes at any time.
pub fn within<T>(bytes_max: usize, does: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    HELD_AT_MOST.set(before);
    let result = does();
    let taken = HELD_AT_MOST.get() - before;
    assert!(taken <= bytes_max.cast_signed(), "it took {taken} bytes of memory, not {bytes_max}");
    result
}

fn count(change: isize) {
    // A thread that is ending has no count any more, and nobody who reads it.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = HELD_AT_MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator with the arguments it came with; counting does
// not allocate, because the counts are constant-initialised and have no destructor.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
