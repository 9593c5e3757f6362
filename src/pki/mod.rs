//! The owner's certificates: who is who between browsers, proxies and cameras.
//!
//! | file | noun |
//! | --- | --- |
//! | `certificate` | what a certificate says: whose it is, what they may do, until when |
//! | `authority` | the owner's authority: signs and revokes; keys and bytes only |
//! | `bundle` | key and certificate as one file with a password, for browsers and phones |
//! | `folder` | the files: where they are, with which modes, and that no key is ever overwritten |
//!
//! What the daemon does with a certificate is `web`'s. How an owner uses all this is `ancillary/docs/certificates.md`.

pub mod authority;
pub mod bundle;
pub mod certificate;
pub mod folder;

pub use certificate::{Certificate, CertificateError, Holder};
