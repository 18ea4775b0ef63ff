//! What it takes for a command to be acknowledged.

use std::fmt;

/// When an append to a journal on PostgreSQL counts as durable, and so may be acknowledged: one of the
/// settings of `synchronous_commit`. Nothing here lets a commit be acknowledged before it is on the
/// disk of the server itself, so its crash loses nothing. Replicas are those that the server waits for,
/// by its `synchronous_standby_names`; without any, all of these are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// It is on the server's disk. Replicas are not waited for: whoever fails over to one may lose what
    /// was acknowledged last.
    Local,
    /// Replicas have it in the memory of their operating system, too: it is lost if the server's machine
    /// and theirs are lost together.
    RemoteWrite,
    /// It is on the disks of the replicas, too.
    #[default]
    On,
    /// Replicas show it to whoever reads there, too.
    RemoteApply,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::RemoteWrite => "remote-write",
            Self::On => "on",
            Self::RemoteApply => "remote-apply",
        })
    }
}
