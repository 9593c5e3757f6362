//! `watchtower pki`, with OpenSSL, curl and NSS as the judges of what it makes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::unseal::on_a_terminal;

struct Pki(tempfile::TempDir);

impl Pki {
    /// A folder with an authority.
    fn new() -> Self {
        let pki = Self(tempfile::tempdir().unwrap());
        assert!(pki.run(&["init", "--name", "Home"]).contains("ca.key signs for you"));
        pki
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn file(&self, name: &str) -> String {
        self.dir().join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_watchtower"))
            .args(["pki", "--dir"])
            .arg(self.dir())
            .args(args)
            .output()
            .unwrap()
    }

    /// What it says when all goes well.
    fn run(&self, args: &[&str]) -> String {
        let output = self.command(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it refuses.
    fn refused(&self, args: &[&str]) -> String {
        let output = self.command(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// What OpenSSL says, on either stream, and whether it is content.
fn openssl(args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

fn good(args: &[&str]) -> String {
    let (success, said) = openssl(args);
    assert!(success, "{args:?}: {said}");
    said
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The generated password that was shown.
fn password(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("Their password, shown only now: ")).unwrap().to_owned()
}

#[test]
fn openssl_takes_every_certificate_for_what_it_is_and_for_nothing_else() {
    let pki = Pki::new();
    pki.run(&["server", "front", "camera.example", "192.168.1.20", "fd00::20"]);
    pki.run(&["proxy", "home"]);
    pki.run(&["client", "anna", "--role", "operator"]);
    let ca = pki.file("ca.pem");
    for (name, purpose, other) in
        [("front", "sslserver", "sslclient"), ("home", "sslclient", "sslserver"), ("anna", "sslclient", "sslserver")]
    {
        let pem = pki.file(&format!("{name}.pem"));
        let verify = |purpose| openssl(&["verify", "-x509_strict", "-CAfile", &ca, "-purpose", purpose, &pem]);
        assert!(verify(purpose).0, "{name}: {:?}", verify(purpose));
        assert!(!verify(other).0, "{name} is no {other}");
    }
    let shown = |name: &str| good(&["x509", "-in", &pki.file(&format!("{name}.pem")), "-noout", "-text"]);
    let front = shown("front");
    for part in ["DNS:camera.example", "IP Address:192.168.1.20", "IP Address:FD00:0:0:0:0:0:0:20", "ecdsa-with-SHA256"]
    {
        assert!(front.contains(part), "{part}: {front}");
    }
    assert!(shown("anna").contains("Subject: CN = anna, OU = operator"), "{}", shown("anna"));
    assert!(shown("home").contains("Subject: CN = home, OU = proxy"), "{}", shown("home"));
    for host in ["camera.example", "other.example"] {
        let (matches, said) = openssl(&["verify", "-CAfile", &ca, "-verify_hostname", host, &pki.file("front.pem")]);
        assert_eq!(matches, host == "camera.example", "{said}");
    }
    good(&["crl", "-in", &pki.file("crl.pem"), "-CAfile", &ca, "-noout"]);
    // Apple's limit on servers' certificates, both ends counted.
    let front = watchtower::pki::Certificate::from_pem(&std::fs::read(pki.file("front.pem")).unwrap()).unwrap();
    let lasts_s = front.not_after.as_second() - front.not_before.as_second() + 1;
    assert!(lasts_s <= 825 * 24 * 3600 && lasts_s > 824 * 24 * 3600, "{lasts_s}");
    assert!(front.not_before < jiff::Timestamp::now() - jiff::SignedDuration::from_hours(23), "a late clock is borne");
}

#[test]
fn keys_are_their_owners_alone_and_never_overwritten() {
    let pki = Pki::new();
    pki.run(&["server", "front", "camera.example"]);
    pki.run(&["client", "anna", "--role", "admin"]);
    assert_eq!(mode(&pki.dir()), 0o700);
    for secret in ["ca.key", "front.key", "anna.key", "anna.p12", "anna-compatible.p12"] {
        assert_eq!(mode(&pki.dir().join(secret)), 0o600, "{secret}");
    }
    for public in ["ca.pem", "crl.pem", "front.pem"] {
        assert_eq!(mode(&pki.dir().join(public)), 0o644, "{public}");
    }
    let keys = || ["ca.key", "front.key", "anna.key"].map(|key| std::fs::read(pki.dir().join(key)).unwrap());
    let before = keys();
    assert!(pki.refused(&["init"]).contains("holds an authority already"));
    assert!(pki.refused(&["server", "front", "other.example"]).contains("there is a certificate 'front' already"));
    assert!(pki.refused(&["client", "front", "--role", "viewer"]).contains("never overwritten"));
    for name in ["../front", "ca", "Crl", "a b", "", "anna-compatible", "-x"] {
        let output = pki.command(&["proxy", "--", name]);
        assert!(!output.status.success(), "{name}");
    }
    pki.run(&["renew", "front"]);
    pki.run(&["renew", "anna"]);
    assert_eq!(keys(), before);
    assert!(pki.refused(&["server", "yard", "yard.example", "--days", "825"]).contains("may last 824 days"));
    assert!(!pki.dir().join("yard.key").exists(), "what is refused leaves no key behind");
    assert!(pki.refused(&["renew", "nobody"]).contains("no certificate 'nobody'"));
    let elsewhere = Pki(tempfile::tempdir().unwrap());
    assert!(elsewhere.refused(&["list"]).contains("make one with 'watchtower pki init'"));
}

#[test]
fn what_is_revoked_is_revoked_with_all_its_renewals() {
    let pki = Pki::new();
    pki.run(&["client", "anna", "--role", "viewer"]);
    let first = std::fs::read(pki.file("anna.pem")).unwrap();
    pki.run(&["renew", "anna", "--days", "30"]);
    let renewed = std::fs::read(pki.file("anna.pem")).unwrap();
    assert_ne!(first, renewed);
    assert_eq!(pki.run(&["list"]).matches("anna").count(), 2);
    let said = pki.run(&["revoke", "anna"]);
    assert!(said.contains("2 certificates revoked") && said.contains("crl.pem"), "{said}");
    assert!(pki.refused(&["renew", "anna"]).contains("no certificate 'anna'"));
    // Whoever has the name next is somebody else.
    pki.run(&["client", "anna", "--role", "viewer"]);
    let folder = tempfile::tempdir().unwrap();
    let revoked = |pem: &[u8]| {
        let file = folder.path().join("a.pem");
        std::fs::write(&file, pem).unwrap();
        let (ca, crl) = (pki.file("ca.pem"), pki.file("crl.pem"));
        let check = ["verify", "-crl_check", "-CAfile", &ca, "-CRLfile", &crl, file.to_str().unwrap()];
        let (valid, said) = openssl(&check);
        assert_eq!(!valid, said.contains("certificate revoked"), "{said}");
        !valid
    };
    assert!(revoked(&first) && revoked(&renewed));
    assert!(!revoked(&std::fs::read(pki.file("anna.pem")).unwrap()));
    let list = pki.run(&["list"]);
    assert_eq!(list.matches(" revoked ").count(), 2, "{list}");
    assert_eq!(list.lines().filter(|line| line.starts_with("anna") && line.contains(" valid ")).count(), 1, "{list}");
    let aside: Vec<_> =
        std::fs::read_dir(pki.dir().join("revoked")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((aside.len(), mode(&aside[0].join("anna.key"))), (1, 0o600));
}

#[test]
fn a_name_is_listed_with_what_it_is_for_and_how_long() {
    let pki = Pki::new();
    pki.run(&["server", "front", "camera.example", "10.0.0.2"]);
    pki.run(&["proxy", "home", "--days", "10"]);
    let list = pki.run(&["list"]);
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("ca ").contains("authority \"Home\""), "{list}");
    assert!(row("front").contains("823  valid") && row("front").contains("server camera.example 10.0.0.2"), "{list}");
    assert!(row("home").contains("  9  ") && row("home").ends_with("proxy"), "{list}");
}

#[test]
fn openssl_opens_both_bundles_with_the_password_alone() {
    let pki = Pki::new();
    let said = pki.run(&["client", "anna", "--role", "viewer"]);
    let word = password(&said);
    let given = pki.dir().join("word");
    std::fs::write(&given, "pass wörd\nrest\n").unwrap();
    let said = pki.run(&["client", "ben", "--role", "admin", "--password-file", given.to_str().unwrap()]);
    assert!(!said.contains("password, shown") && !said.contains("wörd"), "a given password is not repeated: {said}");
    for (name, word) in [("anna", word.as_str()), ("ben", "pass wörd")] {
        for (file, cipher) in
            [(format!("{name}.p12"), "AES-256-CBC"), (format!("{name}-compatible.p12"), "pbeWithSHA1And3-KeyTripleDES")]
        {
            let file = pki.file(&file);
            let pass = format!("pass:{word}");
            let said = good(&["pkcs12", "-in", &file, "-passin", &pass, "-nodes", "-info"]);
            assert!(said.contains(cipher), "{file}: {said}");
            assert!(said.contains(&format!("subject=CN = {name}")) && said.contains("subject=CN = Home"), "{said}");
            assert!(!openssl(&["pkcs12", "-in", &file, "-passin", "pass:wrong", "-nodes"]).0);
        }
    }
    std::fs::write(&given, "\n").unwrap();
    let empty = pki.refused(&["client", "eve", "--role", "viewer", "--password-file", given.to_str().unwrap()]);
    assert!(empty.contains("the password is empty"), "{empty}");
    assert!(!pki.dir().join("eve.key").exists());
}

#[test]
fn a_password_is_asked_for_twice_and_never_shown() {
    let pki = Pki::new();
    let dir = pki.dir().display().to_string();
    let program = env!("CARGO_BIN_EXE_watchtower");
    let command =
        |name| [program, "pki", "--dir", &dir, "client", name, "--role", "viewer", "--ask-password"].map(str::to_owned);
    let typed = |name, answers: &[(&str, &str)]| {
        let command = command(name);
        let output = on_a_terminal(&pki.dir(), answers, &command.each_ref().map(String::as_str));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (done, said) =
        typed("anna", &[("Password for the .p12 files of anna: ", "open sesame"), ("Again: ", "open sesame")]);
    assert!(done && !said.contains("sesame"), "{said}");
    good(&["pkcs12", "-in", &pki.file("anna.p12"), "-passin", "pass:open sesame", "-nodes"]);
    let (done, said) =
        typed("ben", &[("Password for the .p12 files of ben: ", "open sesame"), ("Again: ", "open sesam")]);
    assert!(!done && said.contains("the two passwords differ"), "{said}");
    assert!(!pki.dir().join("ben.key").exists());
    // Where nobody can be asked, another way is named.
    let args = command("ben");
    let args: Vec<&str> = args[4..].iter().map(String::as_str).collect();
    let refused =
        Command::new("setsid").arg("--wait").arg(program).args(["pki", "--dir", &dir]).args(args).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--password-file"), "{refused:?}");
}
