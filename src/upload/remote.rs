//! What a remote store is to the queue: it takes files, and says what became of them.
//!
//! The stores themselves are `dropbox` and `s3`; when a file is tried again, and which goes next, is the queue's part.

use std::time::Duration;

use bytes::Bytes;

/// How a file goes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// Never replaces anything: a repeat of the same bytes is fine, other bytes under the name get a suffix.
    Add,
    /// Replaces our own earlier version (its revision), never a stranger's file. `None`: the first version.
    Replace {
        /// [`Stored::revision`] of the version before.
        revision: Option<String>,
    },
}

/// A file that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its path as stored, which differs where a stranger's file had the name.
    pub path: String,
    /// Opaque version, for the next [`Put::Replace`].
    pub revision: Option<String>,
}

/// Why a file is not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The line, the server or a rate limit: try again, not before `after`.
    #[error("{cause}")]
    Later {
        /// What the server asked for.
        after: Option<Duration>,
        /// For the log and the status.
        cause: String,
    },
    /// This file can never be stored like this; others can.
    #[error("{cause}")]
    Refused {
        /// For the log and the status.
        cause: String,
    },
    /// Nothing can be stored until the owner does something (token revoked, account full).
    #[error("{cause}")]
    Account {
        /// What the owner has to do.
        cause: String,
    },
}

/// A store off site.
pub trait Remote: Send {
    /// Blocks until it is stored or known not to be. Called from the upload thread. `path` begins with `/`.
    ///
    /// # Errors
    /// See [`PutError`].
    fn put(&mut self, path: &str, bytes: Bytes, how: &Put) -> Result<Stored, PutError>;

    /// Bytes of files that have been handed to the line so far, whatever became of them.
    fn sent_bytes(&self) -> u64;
}
