//! `watchtower dropbox-login`: walks the owner through getting a refresh token.
//!
//! The exchange is in [`crate::upload::dropbox::login`]; here are the questions and the file.

use std::fs::Permissions;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::CliError;
use crate::config::DropboxConfig;
use crate::upload::dropbox::login::Login;

/// Arguments of `dropbox-login`.
#[derive(Debug, clap::Args)]
#[command(after_help = HOW)]
pub struct Args {
    /// The app's key, from its page at dropbox.com/developers/apps [default: ask for it]
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,
    /// Where the refresh token goes: the configuration's refresh_token_file. Only its owner may read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Where Dropbox's API is, for those who reach it by another way
    #[arg(long, value_name = "URL", default_value = DropboxConfig::API_URL)]
    api_url: String,
    /// Certification authorities (PEM) to trust besides the system's
    #[arg(long, value_name = "CA.pem")]
    ca_file: Option<PathBuf>,
}

const HOW: &str = "Needs an app of your own: at https://www.dropbox.com/developers/apps choose \"Create app\", \"Scoped access\" and \
                   \"App folder\", then on its page under \"Permissions\" tick files.content.write and submit. It shows the app key.";

/// Shows the page to open, asks for its code and writes the token.
///
/// # Errors
/// A file that is there already or cannot be written, a code that Dropbox does not take: [`CliError::Failed`].
pub fn run(args: Args) -> Result<(), CliError> {
    let there = || failed(format!("{} is there already; --force replaces it", args.out.display()));
    // Before the owner has gone to any trouble.
    if !args.force && args.out.symlink_metadata().is_ok() {
        return Err(there());
    }
    // Whatever is wrong with the folder shows now, too.
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_folder = |error: io::Error| failed(format!("{}: {error}", folder.display()));
    let mut file = tempfile::Builder::new()
        .prefix(".dropbox-login-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(in_folder)?;

    let app_key = match args.app_key {
        Some(key) => key,
        None => ask("The app's key: ")?,
    };
    let login = Login::new(&app_key).map_err(failed)?;
    say(&format!(
        "Open this page in a browser, on any machine, and agree:\n\n  {}\n\nIt shows a code, which counts once.\n",
        login.page()
    ))?;
    let code = ask("The code: ")?;
    let token = login.finish(&code, &args.api_url, args.ca_file.as_deref()).map_err(failed)?;

    writeln!(file, "{token}").and_then(|()| file.as_file().sync_all()).map_err(in_folder)?;
    let placed = if args.force { file.persist(&args.out) } else { file.persist_noclobber(&args.out) };
    placed.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => there(),
        _ => failed(format!("{}: {}", args.out.display(), error.error)),
    })?;
    say(&format!(
        "\nThe refresh token is in {}. The camera's service has to be able to read it. In the configuration:\n\n  \
         [upload.dropbox]\n  app_key = \"{app_key}\"\n  refresh_token_file = \"{}\"\n",
        args.out.display(),
        std::path::absolute(&args.out).unwrap_or_else(|_| args.out.clone()).display()
    ))
}

fn failed(text: String) -> CliError {
    CliError::Failed(text)
}

fn say(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| failed(error.to_string()))
}

/// A line that is not empty.
fn ask(question: &str) -> Result<String, CliError> {
    say(question)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| failed(format!("cannot read the answer: {error}")))?;
    match line.trim() {
        "" => Err(failed("nothing was typed in".to_owned())),
        line => Ok(line.to_owned()),
    }
}
