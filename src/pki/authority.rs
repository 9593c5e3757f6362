//! The owner's authority: signs certificates and the list of those that no longer count. Bytes in, bytes out; files are
//! `folder`'s.
//!
//! Keys are ECDSA on P-256: what every browser, phone, nginx and OpenSSL of the last ten years can do.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, Pem, X509Certificate};

use super::certificate::{Certificate, CertificateError, Holder, PROXY};
use crate::role::Role;

/// Days that an authority lasts: longer than a camera.
pub const AUTHORITY_DAYS: u32 = 20 * 365;
/// Days that everything else lasts, and the most that a server may: Apple's systems refuse servers' certificates of more
/// than 825 days in all, those of an owner's own authority included (support.apple.com/103769; 398 days hold only for
/// the authorities that they ship). One day lies before the signing.
pub const MAX_SERVER_DAYS: u32 = 824;
/// A camera without a clock of its own may be behind when it is shown its first certificate.
const BACKDATED: SignedDuration = SignedDuration::from_hours(24);

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key's file is no private key that can sign.
    #[error("it is no private key: {0}")]
    Key(rcgen::Error),
    /// Files of two authorities.
    #[error("certificate and key do not belong together")]
    Strangers,
    /// The authority's certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authority's list of revoked certificates.
    #[error("it is no list of revoked certificates")]
    Crl,
    /// A name that cannot stand in a certificate.
    #[error("'{0}' cannot stand in a certificate")]
    Host(String),
    /// The authority itself ends.
    #[error(
        "the authority's own certificate has expired: make a new one, with 'watchtower pki init' in another folder"
    )]
    Expired,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Randomness(String),
    /// Signing failed.
    #[error("signing failed: {0}")]
    Signing(rcgen::Error),
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Shown by a server under these names and addresses; at least one.
    Server(Vec<String>),
    /// Shown by the owner's proxy to the cameras.
    Proxy,
    /// Shown by a person's browser or a program.
    Client(Option<Role>),
}

impl Purpose {
    /// What it takes to issue this certificate again.
    pub fn of(certificate: &Certificate) -> Self {
        match certificate.holder {
            _ if certificate.is_server => Purpose::Server(certificate.hosts.clone()),
            Holder::Proxy => Purpose::Proxy,
            Holder::User(role) => Purpose::Client(role),
        }
    }
}

/// A private key.
pub struct Key(KeyPair);

impl Key {
    /// A new one.
    ///
    /// # Errors
    /// [`AuthorityError::Key`] where the system has no randomness.
    pub fn generate() -> Result<Self, AuthorityError> {
        KeyPair::generate().map(Self).map_err(AuthorityError::Key)
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, AuthorityError> {
        KeyPair::from_pem(text).map(Self).map_err(AuthorityError::Key)
    }

    /// PKCS#8 in PEM.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// PKCS#8 in DER.
    pub fn to_der(&self) -> Vec<u8> {
        self.0.serialize_der()
    }
}

/// A certificate that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Since when.
    pub since: Timestamp,
}

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    pem: String,
}

impl Authority {
    /// A new one, with this name, and its key.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`], [`AuthorityError::Key`].
    pub fn create(name: &str, now: Timestamp) -> Result<(Self, Key), AuthorityError> {
        let key = Key::generate()?;
        let mut params = params(name, None, now, now + days(AUTHORITY_DAYS))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key.0).map_err(AuthorityError::Signing)?.pem();
        Ok((Self::open(&pem, &key.to_pem())?, key))
    }

    /// An authority of a certificate and its key, both PEM.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let der = contents(certificate, "CERTIFICATE").ok_or(CertificateError::NotPem)?;
        let (_, read) = X509Certificate::from_der(&der).map_err(|error| CertificateError::Broken(error.to_string()))?;
        let Key(key) = Key::from_pem(key)?;
        if read.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(AuthorityError::Strangers);
        }
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&der.as_slice().into(), key).map_err(AuthorityError::Signing)?,
            certificate: Certificate::from_der(&der)?,
            pem: certificate.to_owned(),
        })
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its own certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for this name and key, as PEM. It never lasts longer than the authority.
    ///
    /// # Errors
    /// A host that is no name, an authority that has ended.
    pub fn issue(
        &self,
        name: &str,
        purpose: &Purpose,
        key: &Key,
        lasts_days: u32,
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        if self.certificate.not_after <= now {
            return Err(AuthorityError::Expired);
        }
        let unit = match purpose {
            Purpose::Server(_) => None,
            Purpose::Proxy => Some(PROXY),
            Purpose::Client(role) => role.map(Role::as_str),
        };
        let mut params = params(name, unit, now, (now + days(lasts_days)).min(self.certificate.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A server's certificate lets nobody in, a client's makes no server: so a stolen camera is no key to the others.
        params.extended_key_usages = vec![match purpose {
            Purpose::Server(_) => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Proxy | Purpose::Client(_) => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if let Purpose::Server(hosts) = purpose {
            params.subject_alt_names = hosts.iter().map(|host| alternative(host)).collect::<Result<_, _>>()?;
        }
        Ok(params.signed_by(&key.0, &self.issuer).map_err(AuthorityError::Signing)?.pem())
    }

    /// The list of what no longer counts, as PEM; `number` grows with each. It holds until the authority ends: it is
    /// carried to servers by hand, and one that ran out would lock everybody out, the owner too.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`].
    pub fn revocation_list(&self, number: u64, revoked: &[Revoked], now: Timestamp) -> Result<String, AuthorityError> {
        let entry = |revoked: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial),
            revocation_time: date(revoked.since),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date(now - BACKDATED),
            next_update: date(self.certificate.not_after),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(AuthorityError::Signing)
    }
}

/// Number and content of a list of revoked certificates (PEM).
///
/// # Errors
/// [`AuthorityError::Crl`].
pub fn read_revocation_list(text: &str) -> Result<(u64, Vec<Revoked>), AuthorityError> {
    let der = contents(text, "X509 CRL").ok_or(AuthorityError::Crl)?;
    let (_, list) = CertificateRevocationList::from_der(&der).map_err(|_| AuthorityError::Crl)?;
    let entry = |entry: &x509_parser::revocation_list::RevokedCertificate<'_>| {
        let since = Timestamp::from_second(entry.revocation_date.timestamp()).map_err(|_| AuthorityError::Crl)?;
        Ok(Revoked { serial: entry.raw_serial().to_vec(), since })
    };
    let number = list.crl_number().and_then(|number| u64::try_from(number).ok()).ok_or(AuthorityError::Crl)?;
    Ok((number, list.iter_revoked_certificates().map(entry).collect::<Result<_, AuthorityError>>()?))
}

/// What the first block of this kind holds.
pub(super) fn contents(pem: &str, label: &str) -> Option<Vec<u8>> {
    Pem::iter_from_buffer(pem.as_bytes()).flatten().find(|block| block.label == label).map(|block| block.contents)
}

fn params(name: &str, unit: Option<&str>, from: Timestamp, to: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(unit) = unit {
        params.distinguished_name.push(DnType::OrganizationalUnitName, unit);
    }
    params.not_before = date(from - BACKDATED);
    // Both ends count.
    params.not_after = date(to - SignedDuration::from_secs(1));
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// 16 random bytes as a positive number without leading zeros (RFC 5280, section 4.1.2.2).
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AuthorityError::Randomness(error.to_string()))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn alternative(host: &str) -> Result<SanType, AuthorityError> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => host.try_into().map(SanType::DnsName).map_err(|_| AuthorityError::Host(host.to_owned())),
    }
}

fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

/// Certificates know no fractions of a second.
fn date(at: Timestamp) -> OffsetDateTime {
    // Every time of jiff's is in the range of `time`'s.
    OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
