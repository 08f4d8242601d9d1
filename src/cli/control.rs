//! The control socket, from both ends: `--control` opens it, `--census` asks another process's. And `--probes`.

use std::io::Write as _;

use clap::Args;

use super::{ExitStatus, PROGRAM};
use crate::census::table::table;
use crate::config::{ControlAddress, ProbeAddress};
use crate::http::control::client::{self, AskError};

/// The options about the control socket.
#[derive(Debug, Args)]
#[command(next_help_heading = "Control")]
pub(super) struct ControlArgs {
    /// Where to tell how the process is and take commands: unix:/path, or a loopback address and port
    #[arg(long, value_name = "ADDR")]
    pub(super) control: Option<ControlAddress>,
    /// Where other machines may ask whether it is alive and ready, and for metrics, and nothing else
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) probes: Option<ProbeAddress>,
    /// Print what the server at --control tells, instead of serving
    #[arg(long)]
    pub(super) census: bool,
    /// Print it as JSON; also with --check
    #[arg(long)]
    pub(super) json: bool,
}

/// A question to another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub address: ControlAddress,
    pub form: Form,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Table,
    Json,
}

impl ControlArgs {
    /// What is to be asked instead of serving, if anything.
    pub(super) fn question(&self) -> Result<Option<Question>, String> {
        let form = if self.json { Form::Json } else { Form::Table };
        match (&self.control, self.census) {
            (_, false) if self.json => {
                Err("--json goes with --census or --check only: leave it out".to_owned())
            }
            (_, false) => Ok(None),
            (None, true) => {
                Err("--census asks a server that runs: add --control ADDR, as it was given".to_owned())
            }
            (Some(ControlAddress::Loopback(address)), true) if address.port() == 0 => Err(format!(
                "--control {address}: nobody listens on port 0: use the port that the server's log names"
            )),
            (Some(address), true) => Ok(Some(Question { address: address.clone(), form })),
        }
    }
}

/// Asks, and prints the answer. The status tells a script whether requests are served there.
pub(super) fn ask(question: &Question) -> ExitStatus {
    match client::status(&question.address) {
        Ok(told) => {
            let text = match question.form {
                Form::Table => table(&told.status),
                Form::Json => told.text,
            };
            // A reader that left early (`| head -1`) is no failure of ours.
            let _ = write!(std::io::stdout().lock(), "{text}");
            if told.status.ready { ExitStatus::Stopped } else { ExitStatus::Internal }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "{PROGRAM}: error: {error}");
            match error {
                AskError::Nobody { .. } | AskError::Denied { .. } => ExitStatus::Socket,
                AskError::Strange { .. } => ExitStatus::Internal,
            }
        }
    }
}
