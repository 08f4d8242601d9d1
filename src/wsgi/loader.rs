//! How a WSGI application comes to life: an interpreter, our support module in it, the import.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::application::{Ended, Home, Invitation, LoadError, Loaded, Loader, NotLoaded};
use crate::census::{Identity, Overdue, Pool};
use crate::interp::{Attached, Departure, Interpreter, Kept, Object, PythonError, Residence, Truth, Type};
use crate::reload::Sources;
use crate::wsgi::application::{Place, Tools, WsgiApplication};
use crate::wsgi::dict::Surroundings;
use crate::wsgi::failure::{ending, report};
use crate::wsgi::interrupt;
use crate::wsgi::sources::Teller;
use crate::wsgi::voice::Voice;

/// What each load needs to know.
#[derive(Debug)]
pub struct Settings {
    /// `module:attribute`, `module.attribute` or `paste:file.ini#name`.
    pub application: String,
    /// Whether `application` names what makes the application.
    pub factory: Truth,
    /// `sys.path` and `sys.argv` as the main interpreter has them.
    pub path: Vec<String>,
    pub argv: Vec<String>,
    pub home: Home,
    /// Which of the server's pools it is for, where there are several.
    pub pool: Option<Pool>,
    pub multithread: Truth,
    pub multiprocess: Truth,
    /// How long an interpreter's plain threads are waited for at its end.
    pub patience: Duration,
    /// Where it is told which files the application is made of.
    pub sources: Option<Sources>,
    /// On a free-threaded build: whether the application is not wanted with a GIL.
    pub unlocked: Truth,
    /// How long the application may take for a request.
    pub request_timeout: Option<Duration>,
}

/// Loads the application that [`Settings`] name.
#[derive(Debug)]
pub struct WsgiLoader {
    settings: Arc<Settings>,
    /// Whether one of its interpreters has told of what was loaded otherwise than usual.
    told: AtomicBool,
}

impl WsgiLoader {
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), told: AtomicBool::new(false) }
    }

    /// Imports the application for workers that are forked later. Returns what it calls itself.
    pub fn preload(&self) -> Result<String, LoadError> {
        let settings = &self.settings;
        let interpreter = Interpreter::adopted();
        let mut interpreter = interpreter.map_err(|error| LoadError::Interpreter(error.to_string()))?;
        let loaded = interpreter.attach(|at| {
            let wrong = |error: PythonError<'_>| LoadError::Interpreter(error.message());
            let support = at.import(c"chaussette._interpreter").map_err(wrong)?;
            begin(at, settings, &support).map_err(wrong)?;
            tell_request_timeout(at, settings, &support).map_err(wrong)?;
            let kept = support.keep();
            let since = SystemTime::now();
            let imported = import(at, settings, &kept);
            let teller = settings.sources.as_ref().and_then(|sources| Teller::new(at, sources).ok());
            if let Some(teller) = teller {
                teller.loaded(at, since, imported.as_ref().err());
                teller.release(at);
            }
            let name = imported.map(|application| application.display());
            let name = name.map_err(|error| load_error(at, &kept, &error));
            notice(at, &kept);
            kept.release(at);
            name
        });
        interpreter.hand_back();
        loaded
    }

    /// Imports the application into a new interpreter.
    fn import(&self, at: Attached<'_>, identity: Identity) -> Result<(Tools, String), LoadError> {
        let settings = &self.settings;
        let support =
            prepare(at, settings, identity).map_err(|error| LoadError::Interpreter(error.message()))?;
        let kept = support.keep();
        let since = SystemTime::now();
        let imported = import(at, settings, &kept);
        let teller = settings.sources.as_ref().and_then(|sources| Teller::new(at, sources).ok());
        if let Some(teller) = &teller {
            teller.loaded(at, since, imported.as_ref().err());
        }
        let loaded = imported.and_then(|application| {
            let name = application.display();
            let mut tools = Tools::new(at, application, kept.get(at), surroundings(settings, identity))?;
            tools.teller = teller;
            Ok((tools, name))
        });
        let outcome = loaded.map_err(|error| load_error(at, &kept, &error));
        let outcome = match locked_by(at, settings, &kept) {
            Some(extension) if outcome.is_ok() => Err(LoadError::GilIsBack { extension }),
            _ => outcome,
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            notice(at, &kept);
        }
        if outcome.is_err() {
            // This thread leaves the interpreter next. What this call could say is about nothing that matters now.
            let _ = at.attribute(&kept, c"leave_thread").and_then(|leave| at.call(&leave, &[]));
        }
        kept.release(at);
        outcome
    }
}

impl Loader for WsgiLoader {
    type Application = WsgiApplication;
    type Invitation = WsgiInvitation;

    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded> {
        let settings = &self.settings;
        let interpreter = match settings.home {
            Home::OwnGil => Interpreter::own_gil(),
            Home::Main => Interpreter::main(),
            Home::Process => Interpreter::adopted(),
        };
        let mut interpreter = interpreter.map_err(|error| LoadError::Interpreter(error.to_string()))?;
        let residence = interpreter.residence().map_err(|error| LoadError::Interpreter(error.to_string()))?;
        let invitation = WsgiInvitation { residence, identity, settings: Arc::clone(settings) };
        match interpreter.attach(|at| self.import(at, identity)) {
            Ok((tools, name)) => {
                let application = WsgiApplication::new(Place::Home(interpreter), tools, settings.patience);
                Ok(Loaded { application, invitation, name })
            }
            Err(error) => {
                let ended = match interpreter.end_if_alone() {
                    Departure::Ended => Ended::Cleanly,
                    Departure::Abandoned { threads } => Ended::Abandoned(format!(
                        "interpreter {} is left as it is: {threads} of its threads still run",
                        identity.number
                    )),
                };
                Err(NotLoaded { error, ended })
            }
        }
    }
}

/// What a further thread of an interpreter needs to serve the application loaded there.
#[derive(Debug, Clone)]
pub struct WsgiInvitation {
    residence: Residence,
    identity: Identity,
    settings: Arc<Settings>,
}

impl Invitation for WsgiInvitation {
    type Application = WsgiApplication;

    fn join(self) -> Result<WsgiApplication, LoadError> {
        let mut state = self.residence.enter().map_err(|error| LoadError::Interpreter(error.to_string()))?;
        let tools = state.attach(|at| {
            let support = at.import(c"chaussette._interpreter")?;
            at.call(&at.attribute(&support, c"adopt_thread")?, &[])?;
            let application = at.attribute(&support, c"application")?;
            let teller =
                self.settings.sources.as_ref().map(|sources| Teller::new(at, sources)).transpose()?;
            let mut tools =
                Tools::new(at, application, support, surroundings(&self.settings, self.identity))?;
            tools.teller = teller;
            Ok(tools)
        });
        match tools {
            Ok(tools) => Ok(WsgiApplication::new(Place::Guest(state), tools, self.settings.patience)),
            Err(PythonFailure(message)) => {
                state.leave();
                Err(LoadError::Interpreter(message))
            }
        }
    }

    fn interrupt(self, overdue: &Overdue) {
        match self.residence.enter() {
            Ok(mut state) => {
                if let Err(PythonFailure(message)) =
                    state.attach(|at| interrupt::interrupt(at, overdue).map_err(Into::into))
                {
                    tracing::warn!("{}: cannot be interrupted: {message}", overdue.name());
                }
                state.leave();
            }
            Err(error) => tracing::warn!("{}: cannot be interrupted: {error}", overdue.name()),
        }
    }
}

/// A Python exception that has left its interpreter: its text.
struct PythonFailure(String);

impl From<PythonError<'_>> for PythonFailure {
    fn from(error: PythonError<'_>) -> Self {
        Self(error.message())
    }
}

fn surroundings(settings: &Settings, identity: Identity) -> Surroundings {
    Surroundings {
        identity,
        pool: settings.pool,
        multithread: settings.multithread,
        multiprocess: settings.multiprocess,
        request_timeout: settings.request_timeout,
    }
}

/// Gives a new interpreter its path, its arguments, its number and our support module.
fn prepare<'a>(
    at: Attached<'a>,
    settings: &Settings,
    identity: Identity,
) -> Result<Object<'a>, PythonError<'a>> {
    let path = list(at, &settings.path)?;
    let own = Truth::from(settings.home == Home::OwnGil);
    if own == Truth::True {
        // Before anything of ours can be imported: our package is found on the main interpreter's path.
        at.set_attribute(&at.import(c"sys")?, c"path", &path)?;
    }
    let support = at.import(c"chaussette._interpreter")?;
    if settings.home == Home::Process && at.optional_attribute(&support, c"application")?.is_none() {
        begin(at, settings, &support)?;
    }
    let number = isize::try_from(identity.number).unwrap_or(isize::MAX);
    at.set_attribute(&support, c"number", &at.int(number)?)?;
    tell_request_timeout(at, settings, &support)?;
    let voice = Type::new(at)?;
    let say = voice.instance(at, Voice { number: identity.number })?;
    voice.release(at);
    if settings.home == Home::Process {
        at.call(&at.attribute(&support, c"take_place")?, &[&say])?;
    } else {
        let prepare = at.attribute(&support, c"prepare")?;
        at.call(&prepare, &[&path, &list(at, &settings.argv)?, &at.boolean(own), &say])?;
    }
    Ok(support)
}

/// Gives the interpreter of a process its path and its arguments.
fn begin<'a>(at: Attached<'a>, settings: &Settings, support: &Object<'a>) -> Result<(), PythonError<'a>> {
    let begin = at.attribute(support, c"begin")?;
    let pool = settings.pool.map_or_else(|| Ok(at.none()), |pool| at.str(pool.as_str()))?;
    at.call(&begin, &[&list(at, &settings.path)?, &list(at, &settings.argv)?, &pool]).map(drop)
}

/// For `chaussette.request_timeout()`.
fn tell_request_timeout<'a>(
    at: Attached<'a>,
    settings: &Settings,
    support: &Object<'a>,
) -> Result<(), PythonError<'a>> {
    let limit =
        settings.request_timeout.map_or_else(|| Ok(at.none()), |limit| at.float(limit.as_secs_f64()))?;
    at.set_attribute(support, c"request_timeout", &limit)
}

fn list<'a>(at: Attached<'a>, texts: &[String]) -> Result<Object<'a>, PythonError<'a>> {
    texts.iter().map(|text| at.str(text)).collect::<Result<Vec<_>, _>>().and_then(|items| at.list(items))
}

fn import<'a>(at: Attached<'a>, settings: &Settings, support: &Kept) -> Result<Object<'a>, PythonError<'a>> {
    // What the zygote has imported. Elsewhere it may be another server's of the same program.
    if settings.home == Home::Process
        && let Some(loaded) = at.optional_attribute(&support.get(at), c"application")?
    {
        return Ok(loaded);
    }
    let load = at.attribute(support, c"load")?;
    let application = at.call(&load, &[&at.str(&settings.application)?, &at.boolean(settings.factory)])?;
    // Guests of this interpreter find it there.
    at.set_attribute(support, c"application", &application)?;
    Ok(application)
}

fn load_error<'a>(at: Attached<'a>, support: &Kept, error: &PythonError<'a>) -> LoadError {
    let report = report(at, support, error);
    let report = match ending(error) {
        Some(name) => format!("it raised {name} while it was loaded\n{report}"),
        None => report,
    };
    let refusal = || -> Result<Option<(String, Vec<String>)>, PythonError<'a>> {
        let found = at.call(&at.attribute(support, c"refusal")?, &[error.instance()])?;
        if at.is_none(&found) {
            return Ok(None);
        }
        Ok(Some((at.text(&at.sequence_item(&found, 0)?)?, texts(at, &at.sequence_item(&found, 1)?)?)))
    };
    match refusal() {
        Ok(Some((extension, chain))) => LoadError::Refused { extension, chain, report },
        Ok(None) | Err(_) => LoadError::Application { report },
    }
}

/// The extension that has brought back the GIL, where that is not wanted.
fn locked_by(at: Attached<'_>, settings: &Settings, support: &Kept) -> Option<String> {
    if settings.unlocked == Truth::False {
        return None;
    }
    let by = at.attribute(support, c"gil_enabled_by").and_then(|names| texts(at, &names));
    by.ok()?.into_iter().next()
}

/// Says once a module what was loaded otherwise than usual.
fn notice(at: Attached<'_>, support: &Kept) {
    let names = |list| at.attribute(support, list).and_then(|list| texts(at, &list)).unwrap_or_default();
    for module in names(c"rescued") {
        tracing::info!(
            "{module}: its C extension refuses interpreters with their own GIL; its .py was loaded instead (slower)"
        );
    }
    for module in names(c"gil_enabled_by") {
        tracing::warn!(
            "{module}: its C extension switched the GIL on again: threads take turns. Cure: a release that \
             supports free-threading, or PYTHON_GIL=0 at your own risk"
        );
    }
}

fn texts<'a>(at: Attached<'a>, list: &Object<'a>) -> Result<Vec<String>, PythonError<'a>> {
    (0..at.sequence_length(list).unwrap_or(0)).map(|place| at.text(&at.sequence_item(list, place)?)).collect()
}
