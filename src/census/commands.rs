//! The way to the supervisor: commands from signals, the control socket and the file watcher.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Command, Outcome};

/// Commands that may wait. 16: they are answered at once, and whoever floods waits in `ask`.
const WAITING: usize = 16;

/// How long `ask` waits for its answer. 5 s: the supervisor answers within a turn of the reactor.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the supervisor. Each clone asks by itself.
#[derive(Debug, Clone)]
pub struct Commands(mpsc::Sender<Order>);

/// The supervisor's end.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

/// A command, and who waits to hear what became of it.
#[derive(Debug)]
pub struct Order {
    pub command: Command,
    answer: oneshot::Sender<Outcome>,
}

impl Commands {
    #[must_use]
    pub fn channel() -> (Self, Orders) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Orders(receiver))
    }

    /// Asks, and waits for the answer: soon, since what takes its time is only begun.
    pub async fn ask(&self, command: Command) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.0.send(Order { command, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(PATIENCE, asked).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Outcome::Refused("the server is stopping".to_owned()),
            Err(_) => Outcome::Refused(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
}

impl Orders {
    /// The next command; none when nobody can ask any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

impl Order {
    pub fn answer(self, outcome: Outcome) {
        // Whoever asked may have lost patience.
        let _ = self.answer.send(outcome);
    }
}
