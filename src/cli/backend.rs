//! Which server answers: `--backend`, and the options of 1.3 that only some backends have.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};

use super::values;
use crate::config::{Backend, Given, INTERPRETERS, Patching};

/// The options about the choice of a server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Backend")]
pub(super) struct BackendArgs {
    /// Server that answers: interpreters (this one), wsgiref, waitress, gevent, gunicorn, tornado, cheroot,
    /// bjoern, eventlet, meinheld, or one of an installed package
    #[arg(long, value_name = "NAME", default_value = INTERPRETERS, value_parser = values::backend)]
    backend: String,
    /// Requests that gevent or eventlet serve at once [default: as many as come]
    #[arg(long, value_name = "N", value_parser = values::spawn)]
    spawn: Option<u32>,
    /// Leave the standard library as it is under gevent and eventlet
    #[arg(long)]
    no_monkey: bool,
}

impl BackendArgs {
    /// The choice, and what is odd about it. `named` are the options that the command line has.
    pub(super) fn resolve(self, named: Vec<String>) -> (Backend, Vec<String>) {
        let patching = if self.no_monkey { Patching::LeftAlone } else { Patching::Patched };
        let mut backend = Backend { name: self.backend, spawn: self.spawn, patching, named };
        let mut notices = Vec::new();
        if backend.is_ours() {
            let named = std::mem::take(&mut backend.named);
            let odd = named.iter().filter(|name| ["spawn", "no-monkey"].contains(&name.as_str()));
            notices.extend(odd.map(|name| {
                format!("--{name} has no effect with --backend {INTERPRETERS}: it is for gevent and eventlet")
            }));
        }
        (backend, notices)
    }
}

/// Reads the words as `L`, and the options that they name.
pub(super) fn read<L: CommandFactory + FromArgMatches>(
    argv: Vec<OsString>,
) -> Result<(L, Vec<Given>), clap::Error> {
    let mut command = L::command();
    let mut matches = command.try_get_matches_from_mut(argv)?;
    let given = given(&command, &matches);
    let line = L::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((line, given))
}

fn given(command: &clap::Command, matches: &ArgMatches) -> Vec<Given> {
    let options = command.get_arguments().filter_map(|argument| {
        let (name, id) = (argument.get_long()?, argument.get_id().as_str());
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            return None;
        }
        let raw = matches.get_raw(id).filter(|_| argument.get_action().takes_values());
        let values = raw.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
        Some(Given { name: name.to_owned(), values })
    });
    options.collect()
}
