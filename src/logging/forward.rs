//! The log of a process that is a part of the server: another writes its lines.

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::{Text, is_written, level_of};
use crate::config::LogLevel;

/// Has `tell` told of all events from now on, those below `level` left out. Once a process.
pub fn forward(level: LogLevel, tell: fn(LogLevel, String)) {
    let subscriber = tracing_subscriber::registry()
        .with(filter_fn(move |event| is_written(event, level)))
        .with(Forward(tell));
    // There is one already where tests share a process: it has the lines, then.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct Forward(fn(LogLevel, String));

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        (self.0)(level_of(event.metadata()), text.message + &text.fields);
    }
}
