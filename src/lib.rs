//! Chaussette 2: a WSGI server on an adopted socket. One process, N CPython interpreters.
//!
//! Modules in reading order, the left half of the hourglass first:
//! [`cli`] and [`config`] say what is wanted; [`server`] is the life of the process on one page;
//! [`listener`] adopts the socket; [`http`] reads requests; [`exchange`] is the waist; [`dispatch`] and
//! [`bell`] hand over and back; [`application`] is the seam; [`worker`], [`supervisor`], [`watch`] and [`pools`] mind the
//! threads; [`rehearsal`] loads and serves nothing; [`logging`] and [`access`] write the two logs; [`reload`] watches files;
//! `wsgi` is PEP 3333; `interp` is CPython; `pymodule` joins the halves.

pub mod access;
pub mod application;
pub mod bell;
pub mod census;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod exchange;
pub mod http;
#[cfg(feature = "python")]
pub mod interp;
pub mod listener;
pub mod logging;
pub mod notify;
pub mod pools;
pub mod process;
#[cfg(feature = "python")]
mod pymodule;
pub mod rehearsal;
pub mod reload;
pub mod server;
pub mod shutdown;
pub mod supervisor;
pub mod watch;
pub mod worker;
pub mod wsgi;
