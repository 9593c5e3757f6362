//! What a certificate says. The only reader of certificates: the gateway's header, the daemon's own TLS and
//! `watchtower pki list` all come here.
//!
//! It says nothing about whether a certificate can be trusted: whoever took it from its holder has checked that.

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, ParsedExtension, Pem, X509Certificate};

use crate::role::Role;

/// The `OU` that marks the owner's own proxy.
pub const PROXY: &str = "proxy";

/// No certificate, or none that can be read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM, or no certificate in it.
    #[error("it is no PEM file with a certificate")]
    NotPem,
    /// Broken inside.
    #[error("the certificate cannot be read: {0}")]
    Broken(String),
}

/// Whose certificate it is, by its `OU`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A proxy of the owner's: it speaks for others, whose certificates it passes on, and may nothing itself.
    Proxy,
    /// A person or a program, with the role it was given. Without one, the configuration's word counts.
    User(Option<Role>),
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name; empty where it has none.
    pub name: String,
    /// Whose it is.
    pub holder: Holder,
    /// What it is called by its authority: the bytes of a large number.
    pub serial: Vec<u8>,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Names and addresses that it proves as a server's, such as `camera0.example` and `192.168.1.20`.
    pub hosts: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether a server may show it.
    pub is_server: bool,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        for block in Pem::iter_from_buffer(text) {
            let block = block.map_err(|_| CertificateError::NotPem)?;
            if block.label == "CERTIFICATE" {
                return Self::from_der(&block.contents);
            }
        }
        Err(CertificateError::NotPem)
    }

    /// Reads a certificate of RFC 5280.
    ///
    /// # Errors
    /// [`CertificateError::Broken`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let broken = |error: &dyn std::fmt::Display| CertificateError::Broken(error.to_string());
        let (_, read) = X509Certificate::from_der(der).map_err(|error| broken(&error))?;
        let at = |time: x509_parser::time::ASN1Time| {
            Timestamp::from_second(time.timestamp()).map_err(|error| broken(&error))
        };
        let name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let units = read.subject().iter_organizational_unit().filter_map(|unit| unit.as_str().ok());
        Ok(Self {
            name: name.unwrap_or_default().to_owned(),
            holder: holder(units),
            serial: read.raw_serial().to_vec(),
            not_before: at(read.validity().not_before)?,
            not_after: at(read.validity().not_after)?,
            hosts: hosts(&read),
            is_authority: read.is_ca(),
            is_server: read.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.server_auth),
        })
    }

    /// Whole days until it ends; negative afterwards.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(24 * 3600)
    }

    /// Whether it is time to renew it: two weeks are left, or a third of the life of one that is made for less.
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        const SOON_S: i64 = 14 * 24 * 3600;
        let whole_s = self.not_after.as_second() - self.not_before.as_second();
        self.not_after.as_second() - now.as_second() < SOON_S.min(whole_s / 3)
    }
}

/// Who holds a certificate with these units. Units that are no word of ours do not count, since other authorities fill in
/// what they like; of several words the one that may least.
fn holder<'a>(units: impl Iterator<Item = &'a str>) -> Holder {
    let mut role: Option<Role> = None;
    for unit in units {
        if unit == PROXY {
            return Holder::Proxy;
        }
        if let Ok(named) = unit.parse::<Role>() {
            role = Some(role.map_or(named, |known| known.min(named)));
        }
    }
    Holder::User(role)
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let names = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.flatten().filter_map(host).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_several_words_counts_and_a_foreign_one_does_not() {
        let of = |units: &[&str]| holder(units.iter().copied());
        assert_eq!(of(&["admin"]), Holder::User(Some(Role::Admin)));
        assert_eq!(of(&["admin", "Home", "viewer"]), Holder::User(Some(Role::Viewer)));
        assert_eq!(of(&["admin", "proxy"]), Holder::Proxy);
        for none in [&[][..], &["Home"], &["Admin"], &["admin "]] {
            assert_eq!(of(none), Holder::User(None), "{none:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Certificate::from_pem(text.as_bytes()), Err(CertificateError::NotPem)), "{text}");
        }
        let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(matches!(Certificate::from_pem(empty.as_bytes()), Err(CertificateError::Broken(_))));
    }

    #[test]
    fn a_short_lived_certificate_is_renewed_in_its_last_third() {
        let day = 24 * 3600;
        let at = |day_of: i64| Timestamp::from_second(day_of * day).unwrap();
        let lasting = |days: i64| Certificate {
            name: String::new(),
            holder: Holder::User(None),
            serial: Vec::new(),
            not_before: at(0),
            not_after: at(days),
            hosts: Vec::new(),
            is_authority: false,
            is_server: true,
        };
        assert!(!lasting(90).ends_soon(at(75)) && lasting(90).ends_soon(at(77)));
        assert!(!lasting(6).ends_soon(at(3)) && lasting(6).ends_soon(at(5)));
        assert_eq!((lasting(90).days_left(at(88)), lasting(90).days_left(at(91))), (2, -1));
    }
}
