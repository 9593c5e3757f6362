//! `watchtower pki`: the owner's certificates, on the owner's own machine.
//!
//! The work is in [`crate::pki`]; here are the arguments, the passwords and the words, above all what to do next.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::CliError;
use crate::pki::authority::{MAX_SERVER_DAYS, Purpose};
use crate::pki::folder::{Entry, Folder, PkiError, Standing};
use crate::pki::{Certificate, Holder, bundle};
use crate::role::Role;

/// Arguments of `pki`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of all keys and certificates. Keep a copy of it, and nobody else near it
    #[arg(long, value_name = "DIR", default_value = "watchtower-pki", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the folder and the authority that signs everything else
    Init {
        /// What browsers call the authority
        #[arg(long, default_value = "Watchtower")]
        name: String,
    },
    /// Make a key and a certificate for a server: a camera's gateway, or the main server
    Server {
        /// What its files are called
        name: String,
        /// Every name and address that it is reached by, as it stands in the browser
        #[arg(value_name = "HOST", required = true, value_parser = host)]
        hosts: Vec<String>,
        #[command(flatten)]
        life: Life,
    },
    /// Make a key and a certificate that the main server shows to the cameras; it passes on whose request it is
    Proxy {
        /// What its files are called
        name: String,
        #[command(flatten)]
        life: Life,
    },
    /// Make a key and a certificate for a person's browser or a program, with the .p12 files that browsers and phones import
    Client {
        /// Who it is; the file's name, and what the log says
        name: String,
        /// What they may do: viewer, operator or admin
        #[arg(long, value_parser = role)]
        role: Role,
        #[command(flatten)]
        life: Life,
        #[command(flatten)]
        password: Password,
    },
    /// Certify the key of a name again; a person's .p12 files are made anew
    Renew {
        /// Whose certificate
        name: String,
        #[command(flatten)]
        life: Life,
        #[command(flatten)]
        password: Password,
    },
    /// Take back every certificate of a name
    Revoke {
        /// Whose certificates
        name: String,
    },
    /// List every certificate, what it is for and how long it lasts
    List,
}

#[derive(Debug, clap::Args)]
struct Life {
    /// How long it lasts, in days; a server's at most 824, which is Apple's limit
    #[arg(long, value_name = "N", default_value_t = MAX_SERVER_DAYS, value_parser = clap::value_parser!(u32).range(1..=7300))]
    days: u32,
}

/// Where the password of the .p12 files comes from.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Password {
    /// A file with the .p12 files' password in its first line [default: a new password, shown once]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Ask for the .p12 files' password
    #[arg(long)]
    ask_password: bool,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|_| "one of viewer, operator, admin".to_owned())
}

fn host(text: &str) -> Result<String, String> {
    crate::config::host_name(text)
}

/// Does one thing in the folder, and says what comes next.
///
/// # Errors
/// Whatever kept it from being done; nothing is half done then.
pub fn run(args: Args) -> Result<(), CliError> {
    let said = work(&args.dir, &args.command, Timestamp::now())?;
    io::stdout().write_all(said.as_bytes()).map_err(|error| CliError::Failed(error.to_string()))
}

fn failed(error: PkiError) -> CliError {
    CliError::Failed(error.to_string())
}

/// Answers what to tell the owner.
fn work(dir: &Path, command: &Command, now: Timestamp) -> Result<String, CliError> {
    let open = || Folder::open(dir).map_err(failed);
    match command {
        Command::Init { name } => init(dir, name, now),
        Command::Server { name, hosts, life } => {
            let folder = open()?;
            let made = folder.issue(name, &Purpose::Server(hosts.clone()), life.days, now).map_err(failed)?;
            Ok(made_files(&folder, name, &made) + &for_a_server(dir, name))
        }
        Command::Proxy { name, life } => {
            let folder = open()?;
            let made = folder.issue(name, &Purpose::Proxy, life.days, now).map_err(failed)?;
            Ok(made_files(&folder, name, &made) + &for_a_proxy(dir, name))
        }
        Command::Client { name, role, life, password } => {
            let folder = open()?;
            let password = password.get(name)?;
            let made = folder.issue(name, &Purpose::Client(Some(*role)), life.days, now).map_err(failed)?;
            Ok(made_files(&folder, name, &made) + &bundles(&folder, name, &password)?)
        }
        Command::Renew { name, life, password } => renew(&open()?, name, life.days, password, now),
        Command::Revoke { name } => revoke(&open()?, name, now),
        Command::List => {
            let folder = open()?;
            let entries = folder.list(now).map_err(failed)?;
            Ok(table(folder.authority(), &entries, now))
        }
    }
}

fn init(path: &Path, name: &str, now: Timestamp) -> Result<String, CliError> {
    let folder = Folder::create(path, name, now).map_err(failed)?;
    let dir = path.display();
    Ok(format!(
        "{dir} holds your authority now, until {}.\n\
         {dir}/ca.key signs for you: whoever has it is let in everywhere. It is not encrypted and belongs on no camera.\n\
         Keep a copy of the folder in a safe place: without it no certificate can be made or revoked.\n\
         Next:\n\
         \x20 watchtower pki server front HOST...           for each camera or gateway, with every name and address it has\n\
         \x20 watchtower pki client anna --role admin       for each person and each device\n",
        day(folder.authority().not_after)
    ))
}

fn made_files(folder: &Folder, name: &str, made: &Certificate) -> String {
    let dir = folder.path().display();
    let what = describe(made);
    format!("{name}: {what}, until {}.\n  {dir}/{name}.pem\n  {dir}/{name}.key  (secret)\n", day(made.not_after))
}

fn for_a_server(folder: &Path, name: &str) -> String {
    let dir = folder.display();
    format!(
        "Next: copy {name}.pem, {name}.key, ca.pem and crl.pem from {dir} to the server, the key readable by nginx or the\n\
         daemon alone, and name them in the gateway's options or in [web.listen_tls].\n"
    )
}

fn for_a_proxy(folder: &Path, name: &str) -> String {
    let dir = folder.display();
    format!(
        "Next: copy {name}.pem, {name}.key and ca.pem from {dir} to the main server, the key readable by nginx alone, and\n\
         name them as its client certificate towards the cameras.\n"
    )
}

fn renew(folder: &Folder, name: &str, days: u32, password: &Password, now: Timestamp) -> Result<String, CliError> {
    let current = folder.current(name).map_err(failed)?;
    match Purpose::of(&current) {
        Purpose::Client(_) => {
            let password = password.get(name)?;
            let made = folder.renew(name, days, now).map_err(failed)?;
            Ok(made_files(folder, name, &made) + &bundles(folder, name, &password)?)
        }
        Purpose::Server(_) | Purpose::Proxy => {
            let made = folder.renew(name, days, now).map_err(failed)?;
            let dir = folder.path().display();
            Ok(made_files(folder, name, &made)
                + &format!(
                    "The key is the same. Next: copy {dir}/{name}.pem to where the old one is, and reload nginx there (the\n\
                     daemon's own TLS notices by itself).\n"
                ))
        }
    }
}

fn revoke(folder: &Folder, name: &str, now: Timestamp) -> Result<String, CliError> {
    let count = folder.revoke(name, now).map_err(failed)?;
    let (path, plural) = (folder.path().display(), if count == 1 { "" } else { "s" });
    Ok(format!(
        "{name}: {count} certificate{plural} revoked; the files are now below {path}/revoked.\n\
         Nobody knows yet. Next: copy {path}/crl.pem to every gateway, camera and main server that checks clients, and\n\
         reload nginx there (the daemon's own TLS notices by itself).\n"
    ))
}

fn bundles(folder: &Folder, name: &str, password: &Chosen) -> Result<String, CliError> {
    let [modern, compatible] = folder.bundle(name, &password.word).map_err(failed)?;
    let shown = match password.generated {
        true => format!("Their password, shown only now: {}\n", password.word),
        false => String::new(),
    };
    Ok(format!(
        "  {}\n  {}  (for what refuses the first)\n{shown}\
         Next: bring one .p12 file and {} to the device and import both there; the password on another way.\n",
        modern.display(),
        compatible.display(),
        folder.path().join("ca.pem").display()
    ))
}

struct Chosen {
    word: String,
    generated: bool,
}

impl Password {
    fn get(&self, name: &str) -> Result<Chosen, CliError> {
        let word = match &self.password_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
                text.lines().next().unwrap_or_default().to_owned()
            }
            None if self.ask_password => ask(name)?,
            None => {
                let word = bundle::generate_password()
                    .map_err(|error| CliError::Failed(format!("the system gives no random numbers: {error}")))?;
                return Ok(Chosen { word, generated: true });
            }
        };
        if word.is_empty() {
            return Err(CliError::Failed("the password is empty: the .p12 files would be open to anyone".to_owned()));
        }
        Ok(Chosen { word, generated: false })
    }
}

fn ask(name: &str) -> Result<String, CliError> {
    let prompt = |text: String| {
        rpassword::prompt_password(text)
            .map_err(|error| CliError::Failed(format!("there is no terminal to ask on ({error}): use --password-file")))
    };
    let word = prompt(format!("Password for the .p12 files of {name}: "))?;
    if prompt("Again: ".to_owned())? != word {
        return Err(CliError::Failed("the two passwords differ".to_owned()));
    }
    Ok(word)
}

fn describe(certificate: &Certificate) -> String {
    match certificate.holder {
        _ if certificate.is_authority => "authority".to_owned(),
        _ if certificate.is_server => format!("server {}", certificate.hosts.join(" ")),
        Holder::Proxy => "proxy".to_owned(),
        Holder::User(Some(role)) => role.to_string(),
        Holder::User(None) => "client without a role".to_owned(),
    }
}

fn table(authority: &Certificate, entries: &[Entry], now: Timestamp) -> String {
    let state = |entry: &Entry| match entry.standing {
        Standing::Valid if entry.certificate.ends_soon(now) => "renew it now",
        Standing::Valid => "valid",
        Standing::Expired => "expired",
        Standing::Revoked => "revoked",
        Standing::Replaced => "renewed; this one is valid too",
    };
    let mut rows = vec![("NAME", "UNTIL".to_owned(), "DAYS".to_owned(), "STATE", "WHAT".to_owned())];
    let row = |certificate: &Certificate| (day(certificate.not_after), certificate.days_left(now).to_string());
    let (until, days) = row(authority);
    rows.push(("ca", until, days, "valid", format!("authority \"{}\"", authority.name)));
    for entry in entries {
        let (until, days) = row(&entry.certificate);
        rows.push((&entry.certificate.name, until, days, state(entry), describe(&entry.certificate)));
    }
    let name_width = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    let state_width = rows.iter().map(|row| row.3.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, until, days, state, what) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:name_width$}  {until:10}  {days:>5}  {state:state_width$}  {what}");
    }
    text
}

/// The last day, in local time.
fn day(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::system()).date().to_string()
}
