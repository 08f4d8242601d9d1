//! Who can ask for something while the process lives: signals and commands.

use crate::census::{Command, Order, Orders, Outcome};
use crate::shutdown::{Ask, Signals};

/// All that can be asked by.
#[derive(Debug)]
pub(super) struct Asks {
    signals: Signals,
    /// None once it stops: whoever commands then is told so.
    orders: Option<Orders>,
}

/// Something was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// [`Ask::Graceful`] or [`Ask::Quick`].
    Stop(Ask),
    Change(Command, Asker),
}

/// Who is to hear what becomes of it.
#[derive(Debug)]
pub(super) enum Asker {
    /// Whoever sent a signal: the log.
    Log,
    Order(Order),
}

impl Asks {
    pub(super) fn new(signals: Signals, orders: Orders) -> Self {
        Self { signals, orders: Some(orders) }
    }

    /// The next that has a meaning. Cancel-safe.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Ask::Ignored(name) => tracing::warn!("{name} has no effect: ignored"),
                    Ask::Change(command) => return Asked::Change(command, Asker::Log),
                    stop => return Asked::Stop(stop),
                },
                Some(order) = order(&mut self.orders) => {
                    if order.command != Command::Stop {
                        return Asked::Change(order.command, Asker::Order(order));
                    }
                    order.answer(Outcome::Accepted("stopping".to_owned()));
                    return Asked::Stop(Ask::Graceful);
                }
            }
        }
    }

    /// Waits for a stop while the application is being loaded. Returns with what it left in `kept`: some
    /// interpreters may have read the code that a HUP tells to be old.
    pub(super) async fn stop_while_loading(&mut self, kept: &mut Vec<Command>) {
        loop {
            match self.next().await {
                Asked::Stop(_) => return,
                Asked::Change(command, asker) => {
                    kept.push(command);
                    let what = "the application is being loaded: it is done after that";
                    asker.hear(Outcome::Accepted(what.to_owned()));
                }
            }
        }
    }

    /// From here on nobody is listened to but who is in a hurry.
    pub(super) fn close(&mut self) {
        self.orders = None;
    }

    pub(super) async fn hurry(&mut self) {
        while !matches!(self.next().await, Asked::Stop(Ask::Quick)) {}
    }
}

async fn order(orders: &mut Option<Orders>) -> Option<Order> {
    match orders {
        Some(orders) => orders.next().await,
        None => std::future::pending().await,
    }
}

impl Asker {
    pub(super) fn hear(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Order(order), outcome) => order.answer(outcome),
            (Self::Log, Outcome::Accepted(what) | Outcome::Unchanged(what)) => tracing::info!("{what}"),
            (Self::Log, Outcome::Refused(why)) => tracing::error!("cannot obey the signal: {why}"),
        }
    }
}
