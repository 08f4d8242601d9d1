//! PEP 3333, the Python Web Server Gateway Interface.
//!
//! `clause`, `environ` and `response` are its rules on plain values and build without Python; the rest applies
//! them inside an interpreter. Knows nothing of sockets or of HTTP's framing.

pub mod clause;
pub mod environ;
pub mod response;

#[cfg(feature = "python")]
mod application;
#[cfg(feature = "python")]
mod dict;
#[cfg(feature = "python")]
mod failure;
#[cfg(feature = "python")]
mod finish;
#[cfg(feature = "python")]
mod forked;
#[cfg(feature = "python")]
mod hints;
#[cfg(feature = "python")]
mod input;
#[cfg(feature = "python")]
mod interrupt;
#[cfg(feature = "python")]
mod loader;
#[cfg(feature = "python")]
mod responder;
#[cfg(feature = "python")]
mod sources;
#[cfg(feature = "python")]
mod tray;
#[cfg(feature = "python")]
mod voice;
#[cfg(feature = "python")]
mod zygote;

#[cfg(feature = "python")]
pub use application::WsgiApplication;
#[cfg(feature = "python")]
pub use loader::{Settings, WsgiInvitation, WsgiLoader};
#[cfg(feature = "python")]
pub use zygote::{fork, freeze};
