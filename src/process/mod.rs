//! Worker processes: an application that lives in a process of its own, behind the same seam.
//!
//! Owns both ends of what goes between: the server's ([`ProcessLoader`], and who relays for each worker), and the
//! worker's ([`work`]) with the one that makes workers ([`zygote`]). Knows neither HTTP's framing nor Python: what is
//! loaded in there is a [`crate::application::Loader`] again.
//!
//! Two kinds of stream sockets: a *cord* to each process, for orders and words, in JSON, few and small; and a *lane*
//! to each serving thread, for requests and replies, in frames of plain bytes, one read and one write each way.

mod ahead;
mod clock;
mod codec;
mod cord;
mod frame;
mod lane;
mod lap;
mod launch;
mod life;
mod loader;
mod nursery;
mod outbox;
mod pace;
mod relay;
mod words;
mod worker;
mod zygote;

pub use cord::{Cord, Ear};
pub use launch::{Launched, Launcher, Program};
pub use life::work;
pub use loader::{ProcessInvitation, ProcessLoader, Telling};
pub use relay::Relay;
pub use words::{Birth, Level, Loss, Order, Word};
pub use zygote::{Forked, Hatched, Nest, zygote};
