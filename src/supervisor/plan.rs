//! What to do next: one pure function over what there is and what is wanted.
//!
//! Owns the rules of replacement: never fewer serve than are wanted, as far as it is in our hands; one is replaced
//! at a time; a predecessor goes when its successor serves. Does nothing itself and knows no time.

use crate::census::Reason;

/// Where an interpreter is, as far as these rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It imports the application.
    Loading,
    /// Loaded, not admitted.
    Ready,
    Serving,
    /// Dismissed, and not ended yet.
    Leaving,
    /// Nothing is expected of it any more: stuck, abandoned, or dismissed while it loaded.
    Lost,
}

/// One interpreter. Given in the order of births.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) state: State,
    /// Why it is to be replaced, if it is.
    pub(super) worn: Option<Reason>,
    pub(super) hands: Hands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hands {
    Empty,
    Full,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aim {
    /// How many shall serve.
    pub(super) wanted: usize,
    /// The reload whose code they shall have. What is older is replaced.
    pub(super) generation: u64,
    /// How many shall be kept loaded beside them.
    pub(super) spares: usize,
    pub(super) loading: Loading,
}

/// Whether another load may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loading {
    Freely,
    /// The last one failed: one at a time.
    OneByOne,
    /// It is too early to try again.
    NotYet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Load,
    Admit(u64),
    Dismiss(u64, Reason),
}

/// The next step; none: there is nothing to do until something happens.
pub(super) fn next(seen: &[Seen], aim: Aim) -> Option<Step> {
    let all = Sorted { seen, aim };
    all.fill()
        .or_else(|| all.shrink())
        .or_else(|| all.drop_stale())
        .or_else(|| all.replace())
        .or_else(|| all.keep_spares())
}

/// Whether no older code serves, and as many serve as are wanted.
pub(super) fn is_renewed(seen: &[Seen], aim: Aim) -> bool {
    let all = Sorted { seen, aim };
    all.count(State::Serving) >= aim.wanted && all.serving().all(|one| all.is_fresh(one))
}

struct Sorted<'a> {
    seen: &'a [Seen],
    aim: Aim,
}

impl Sorted<'_> {
    fn is_fresh(&self, one: &Seen) -> bool {
        one.generation >= self.aim.generation
    }

    fn of(&self, state: State) -> impl DoubleEndedIterator<Item = &Seen> {
        self.seen.iter().filter(move |one| one.state == state)
    }

    fn count(&self, state: State) -> usize {
        self.of(state).count()
    }

    fn serving(&self) -> impl DoubleEndedIterator<Item = &Seen> {
        self.of(State::Serving)
    }

    fn fresh(&self, state: State) -> usize {
        self.of(state).filter(|one| self.is_fresh(one)).count()
    }

    /// One that is loaded, of the newest code that there is.
    fn loaded(&self) -> Option<&Seen> {
        self.of(State::Ready).max_by_key(|one| (one.generation, std::cmp::Reverse(one.number)))
    }

    fn may_load(&self) -> bool {
        match self.aim.loading {
            Loading::Freely => true,
            Loading::OneByOne => self.fresh(State::Loading) == 0,
            Loading::NotYet => false,
        }
    }

    fn load(&self) -> Option<Step> {
        self.may_load().then_some(Step::Load)
    }

    /// Too few serve: older code is better than none.
    fn fill(&self) -> Option<Step> {
        let missing = self.aim.wanted.saturating_sub(self.count(State::Serving));
        if missing == 0 {
            return None;
        }
        if let Some(one) = self.loaded() {
            return Some(Step::Admit(one.number));
        }
        if self.fresh(State::Loading) < missing { self.load() } else { None }
    }

    /// Too many serve: the first that is to be replaced anyway, or else the newest with nothing to do.
    fn shrink(&self) -> Option<Step> {
        if self.count(State::Serving) <= self.aim.wanted {
            return None;
        }
        if let Some((number, reason)) = self.due() {
            return Some(Step::Dismiss(number, reason));
        }
        let newest_idle = self.serving().rev().min_by_key(|one| one.hands);
        newest_idle.map(|one| Step::Dismiss(one.number, Reason::Scale))
    }

    /// The next to be replaced, and why.
    fn due(&self) -> Option<(u64, Reason)> {
        let stale = self.serving().find(|one| !self.is_fresh(one)).map(|one| (one.number, Reason::Reload));
        stale.or_else(|| self.serving().find_map(|one| one.worn.map(|reason| (one.number, reason))))
    }

    /// Older code that does not serve is of no use, once newer code is known to load.
    fn drop_stale(&self) -> Option<Step> {
        let stale = |state| self.of(state).find(|one| !self.is_fresh(one));
        let loading = stale(State::Loading);
        let loads = self.fresh(State::Ready) + self.fresh(State::Serving) > 0;
        let ready = if loads { stale(State::Ready) } else { None };
        loading.or(ready).map(|one| Step::Dismiss(one.number, Reason::Reload))
    }

    /// One at a time: load a successor, admit it, and `shrink` dismisses the predecessor.
    fn replace(&self) -> Option<Step> {
        let serve_all = self.count(State::Serving) == self.aim.wanted;
        if !serve_all || self.count(State::Leaving) > 0 || self.due().is_none() {
            return None;
        }
        match self.loaded().filter(|one| self.is_fresh(one)) {
            Some(one) => Some(Step::Admit(one.number)),
            None if self.fresh(State::Loading) > 0 => None,
            None => self.load(),
        }
    }

    /// As many spares as are wanted, and no more than can be of use.
    fn keep_spares(&self) -> Option<Step> {
        let missing = self.aim.wanted.saturating_sub(self.count(State::Serving));
        let due = usize::from(self.due().is_some());
        let (ready, loading) = (self.fresh(State::Ready), self.fresh(State::Loading));
        if ready + loading < self.aim.spares + missing {
            return self.load();
        }
        if ready + loading > self.aim.spares.max(due) + missing {
            let surplus = self.of(State::Loading).next_back().or(self.of(State::Ready).next_back());
            return surplus.map(|one| Step::Dismiss(one.number, Reason::Scale));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AIM: Aim = Aim { wanted: 2, generation: 0, spares: 0, loading: Loading::Freely };

    /// A crew that does as it is told, and what happens to it by itself.
    #[derive(Debug, Default)]
    struct Crew {
        seen: Vec<Seen>,
        born: u64,
        log: Vec<Step>,
    }

    impl Crew {
        fn serving(wanted: usize) -> Self {
            let mut crew = Self::default();
            let aim = Aim { wanted, ..AIM };
            crew.settle(aim);
            crew
        }

        fn count(&self, state: State) -> usize {
            self.seen.iter().filter(|one| one.state == state).count()
        }

        fn one(&mut self, state: State) -> Option<&mut Seen> {
            self.seen.iter_mut().find(|one| one.state == state)
        }

        fn take(&mut self, step: Step, aim: Aim) {
            self.log.push(step);
            match step {
                Step::Load => {
                    let (number, generation) = (self.born, aim.generation);
                    let (state, worn, hands) = (State::Loading, None, Hands::Empty);
                    self.seen.push(Seen { number, generation, state, worn, hands });
                    self.born += 1;
                }
                Step::Admit(number) => {
                    let one = self.seen.iter_mut().find(|one| one.number == number).expect("it is there");
                    assert_eq!(one.state, State::Ready);
                    one.state = State::Serving;
                }
                Step::Dismiss(number, _) => {
                    let one = self.seen.iter_mut().find(|one| one.number == number).expect("it is there");
                    one.state = match one.state {
                        State::Loading => State::Lost,
                        State::Ready | State::Serving => State::Leaving,
                        other => panic!("{other:?} is dismissed"),
                    };
                }
            }
        }

        /// Takes steps until there are none, and says how many served at the worst moment.
        fn turn(&mut self, aim: Aim) -> usize {
            let mut least = self.count(State::Serving);
            let mut steps = 0;
            while let Some(step) = next(&self.seen, aim) {
                self.take(step, aim);
                least = least.min(self.count(State::Serving));
                steps += 1;
                assert!(steps < 100, "no end of steps: {:?}", self.log);
            }
            least
        }

        /// Something ends that was waited for; false: nothing is waited for.
        fn happen(&mut self) -> bool {
            if let Some(leaving) = self.seen.iter().position(|one| one.state == State::Leaving) {
                self.seen.remove(leaving);
            } else if let Some(loading) = self.one(State::Loading) {
                loading.state = State::Ready;
            } else {
                return false;
            }
            true
        }

        fn settle(&mut self, aim: Aim) {
            for _ in 0..1000 {
                self.turn(aim);
                if !self.happen() {
                    return;
                }
            }
            panic!("no end: {:?}", self.log);
        }
    }

    #[test]
    fn a_reload_replaces_one_at_a_time_and_the_successor_serves_first() {
        let mut crew = Crew::serving(2);
        let aim = Aim { generation: 1, ..AIM };
        crew.log.clear();
        crew.settle(aim);
        let expected = [
            Step::Load,
            Step::Admit(2),
            Step::Dismiss(0, Reason::Reload),
            Step::Load,
            Step::Admit(3),
            Step::Dismiss(1, Reason::Reload),
        ];
        assert_eq!(crew.log, expected);
        assert!(is_renewed(&crew.seen, aim));
    }

    #[test]
    fn a_spare_takes_over_without_a_load_and_another_is_loaded() {
        let aim = Aim { spares: 1, ..AIM };
        let mut crew = Crew::serving(2);
        crew.settle(aim);
        assert_eq!(crew.count(State::Ready), 1);
        crew.log.clear();
        crew.one(State::Serving).unwrap().worn = Some(Reason::Requests);
        crew.turn(aim);
        assert_eq!(crew.log, [Step::Admit(2), Step::Dismiss(0, Reason::Requests), Step::Load]);
    }

    #[test]
    fn a_spare_of_older_code_is_kept_until_the_new_code_loads() {
        let mut crew = Crew::serving(2);
        crew.settle(Aim { spares: 1, ..AIM });
        let aim = Aim { spares: 1, generation: 1, ..AIM };
        crew.turn(aim);
        assert_eq!((crew.count(State::Ready), crew.count(State::Loading)), (1, 1));
        crew.settle(aim);
        assert!(crew.seen.iter().all(|one| one.generation == 1), "{:?}", crew.seen);
        assert_eq!((crew.count(State::Serving), crew.count(State::Ready)), (2, 1));
    }

    #[test]
    fn fewer_wanted_ends_the_newest_idle_one() {
        let mut crew = Crew::serving(3);
        crew.seen[2].hands = Hands::Full;
        crew.log.clear();
        crew.turn(AIM);
        assert_eq!(crew.log, [Step::Dismiss(1, Reason::Scale)]);
    }

    #[test]
    fn a_load_that_has_failed_is_not_tried_before_its_time_and_then_one_by_one() {
        let mut crew = Crew::default();
        crew.turn(Aim { loading: Loading::NotYet, ..AIM });
        assert_eq!(crew.log, []);
        crew.turn(Aim { loading: Loading::OneByOne, ..AIM });
        assert_eq!(crew.log, [Step::Load]);
    }

    /// What can come at any time.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Loaded,
        LoadFails,
        Ends,
        Worn,
        /// One that serves is lost.
        Lost,
        Reload,
        ReloadFails,
        Scale(usize),
        BackOff(Loading),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Loaded),
            1 => Just(Event::LoadFails),
            4 => Just(Event::Ends),
            2 => Just(Event::Worn),
            1 => Just(Event::Lost),
            1 => Just(Event::Reload),
            1 => Just(Event::ReloadFails),
            1 => (1..5_usize).prop_map(Event::Scale),
            1 => prop_oneof![Just(Loading::Freely), Just(Loading::OneByOne), Just(Loading::NotYet)]
                .prop_map(Event::BackOff),
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_enough_serve_and_no_more_than_one_is_replaced(
            spares in 0..2_usize,
            events in prop::collection::vec(event(), 1..60),
        ) {
            let mut aim = Aim { spares, ..AIM };
            let mut crew = Crew::serving(aim.wanted);
            crew.settle(aim);
            for event in events {
                match event {
                    Event::Loaded => { if let Some(one) = crew.one(State::Loading) { one.state = State::Ready } }
                    Event::LoadFails => {
                        if let Some(place) = crew.seen.iter().position(|one| one.state == State::Loading) {
                            crew.seen.remove(place);
                        }
                    }
                    Event::Ends => {
                        if let Some(place) = crew.seen.iter().position(|one| one.state == State::Leaving) {
                            crew.seen.remove(place);
                        }
                    }
                    Event::Worn => { if let Some(one) = crew.one(State::Serving) { one.worn = Some(Reason::Requests) } }
                    Event::Lost => { if let Some(one) = crew.one(State::Serving) { one.state = State::Lost } }
                    Event::Reload => aim.generation += 1,
                    Event::ReloadFails => aim.generation = aim.generation.saturating_sub(1),
                    Event::Scale(wanted) => aim.wanted = wanted,
                    Event::BackOff(loading) => aim.loading = loading,
                }
                let before = crew.count(State::Serving);
                let leaving = crew.count(State::Leaving);
                let least = crew.turn(aim);
                // Nothing of ours takes the number below what is wanted.
                prop_assert!(least >= before.min(aim.wanted), "{before} then {least}: {:?}", crew.log);
                let after = crew.count(State::Serving);
                prop_assert!(after <= aim.wanted, "{after} of {} serve", aim.wanted);
                // One more than wanted is on its way at most, and the spares; what leaves is waited for.
                let coming = crew.count(State::Loading) + crew.count(State::Ready);
                let missing = aim.wanted.saturating_sub(after);
                let older = crew.seen.iter().filter(|one| one.state == State::Ready && one.generation < aim.generation);
                prop_assert!(coming <= missing + 1.max(spares) + older.count(), "{coming} come: {:?}", crew.seen);
                let surplus = before.saturating_sub(aim.wanted);
                let gone = crew.count(State::Leaving).saturating_sub(leaving);
                prop_assert!(gone <= surplus + 1 + spares + 1, "{gone} leave at once");
            }
            aim.loading = Loading::Freely;
            crew.settle(aim);
            prop_assert_eq!(crew.count(State::Serving), aim.wanted);
            prop_assert_eq!(crew.count(State::Ready), aim.spares);
            prop_assert!(is_renewed(&crew.seen, aim), "{:?}", crew.seen);
            prop_assert!(crew.seen.iter().all(|one| one.state != State::Serving || one.worn.is_none()));
        }
    }
}
