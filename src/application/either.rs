//! One of two kinds of application, where each start decides which.

use super::{Application, Ended, Invitation, Killed, Line, LoadError, Loaded, Loader, NotLoaded, Obituary};
use crate::census::{Identity, Overdue, Thread};
use crate::exchange::Exchange;

/// Of two loaders, applications or invitations, one.
#[derive(Debug, Clone)]
pub enum Either<A, B> {
    Left(A),
    Right(B),
}

impl<A: Loader, B: Loader> Loader for Either<A, B> {
    type Application = Either<A::Application, B::Application>;
    type Invitation = Either<A::Invitation, B::Invitation>;

    fn load(&self, identity: Identity) -> Result<Loaded<Self>, NotLoaded> {
        Ok(match self {
            Self::Left(loader) => {
                let Loaded { application, invitation, name } = loader.load(identity)?;
                let (application, invitation) = (Either::Left(application), Either::Left(invitation));
                Loaded { application, invitation, name }
            }
            Self::Right(loader) => {
                let Loaded { application, invitation, name } = loader.load(identity)?;
                let (application, invitation) = (Either::Right(application), Either::Right(invitation));
                Loaded { application, invitation, name }
            }
        })
    }

    fn close(&self) {
        match self {
            Self::Left(loader) => loader.close(),
            Self::Right(loader) => loader.close(),
        }
    }
}

impl<A: Application, B: Application> Application for Either<A, B> {
    fn serve(&mut self, first: Exchange, line: &mut dyn Line) {
        match self {
            Self::Left(application) => application.serve(first, line),
            Self::Right(application) => application.serve(first, line),
        }
    }

    fn can_serve(&self) -> bool {
        match self {
            Self::Left(application) => application.can_serve(),
            Self::Right(application) => application.can_serve(),
        }
    }

    fn thread(&self) -> Thread {
        match self {
            Self::Left(application) => application.thread(),
            Self::Right(application) => application.thread(),
        }
    }

    fn end(self) -> Ended {
        match self {
            Self::Left(application) => application.end(),
            Self::Right(application) => application.end(),
        }
    }
}

impl<A: Invitation, B: Invitation> Invitation for Either<A, B> {
    type Application = Either<A::Application, B::Application>;

    fn join(self) -> Result<Self::Application, LoadError> {
        match self {
            Self::Left(invitation) => invitation.join().map(Either::Left),
            Self::Right(invitation) => invitation.join().map(Either::Right),
        }
    }

    fn interrupt(self, overdue: &Overdue) {
        match self {
            Self::Left(invitation) => invitation.interrupt(overdue),
            Self::Right(invitation) => invitation.interrupt(overdue),
        }
    }

    fn process(&self) -> Option<u32> {
        match self {
            Self::Left(invitation) => invitation.process(),
            Self::Right(invitation) => invitation.process(),
        }
    }

    fn mourn(&self, obituary: Obituary) {
        match self {
            Self::Left(invitation) => invitation.mourn(obituary),
            Self::Right(invitation) => invitation.mourn(obituary),
        }
    }

    fn kill(&self) -> Killed {
        match self {
            Self::Left(invitation) => invitation.kill(),
            Self::Right(invitation) => invitation.kill(),
        }
    }
}
