//! Locks that outlive a panic: one session's panic ends that session alone, so what it held is
//! taken over as it is. Every section under a lock is short and leaves whole values at every step.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
