//! The queue of each pool, and which requests go there.

use std::sync::Arc;

use crate::bell::Bell;
use crate::census::{Pool, Roster};
use crate::config::Config;
use crate::dispatch::{self, Dispatcher, WorkQueue};
use crate::http::Routes;

/// A pool's queue from both ends, and who serves there.
#[derive(Debug)]
pub(super) struct PoolQueue {
    pub(super) dispatcher: Dispatcher,
    pub(super) queue: WorkQueue,
    pub(super) roster: Roster,
}

/// One a pool. They share the bell, and the numbers of who serves.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) interpreters: PoolQueue,
    pub(super) process: Option<PoolQueue>,
}

impl Queues {
    pub(super) fn new(config: &Config) -> Self {
        let bell = Arc::new(Bell::default());
        let ends = || dispatch::queue(config.workers.queue, Arc::clone(&bell));
        let one = |(dispatcher, queue), roster| PoolQueue { dispatcher, queue, roster };
        let usual = ends();
        if config.process_pool.is_none() {
            let roster = Roster::new(usual.1.clone());
            return Self { interpreters: one(usual, roster), process: None };
        }
        let apart = ends();
        let queues = [(Pool::Interpreters, usual.1.clone()), (Pool::Process, apart.1.clone())];
        let [first, second] = Roster::of(queues);
        Self { interpreters: one(usual, first), process: Some(one(apart, second)) }
    }

    /// In the order of a line-up's plans.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PoolQueue> {
        std::iter::once(&self.interpreters).chain(&self.process)
    }

    /// Which queue a request goes to.
    pub(super) fn routes(&self, config: &Config) -> Routes {
        let routes = Routes::from(&self.interpreters.dispatcher);
        match (&config.process_pool, &self.process) {
            (Some(pool), Some(one)) => routes.apart(pool.prefixes.clone(), one.dispatcher.clone()),
            _ => routes,
        }
    }
}
