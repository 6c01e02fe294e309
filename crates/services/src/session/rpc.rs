//! Wire in, wire out: one function per method, no rules.

use hexline_model::Timestamp;
use hexline_protocol::session::{InfoParams, SessionInfo};

use super::{SessionError, SessionService};
use crate::{Caller, Outcome};

/// `session.info`; `expires` is when the caller's token or key ends.
pub fn info(
    service: &SessionService,
    caller: &Caller,
    expires: Option<Timestamp>,
    _params: &InfoParams,
) -> Result<Outcome<SessionInfo>, SessionError> {
    service.info(caller, expires).map(Outcome::reply)
}
