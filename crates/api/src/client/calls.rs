//! Calls that come over HTTP: the same methods by the same dispatch, without a connection.

use std::time::Duration;

use axum::extract::FromRequestParts;
use hexline_gateway::{CallFailure, Origin, Step};
use hexline_model::{Subject, Timestamp};
use hexline_protocol::{ErrorCode, RawCall, Reply};
use hexline_services::signal::Outlet;
use hexline_services::{Caller, Outcome};
use http::request::Parts;

use super::ClientState;
use super::call_buckets::BucketSize;
use crate::kit::client_caller::ClientCaller;
use crate::kit::error::Refusal;

/// A user's device that calls over HTTP, by its verified client token.
pub(crate) struct HttpCaller {
    state: ClientState,
    caller: Caller,
    subject: Subject,
    /// When its token or key ends.
    expires: Option<Timestamp>,
    size: BucketSize,
}

impl FromRequestParts<ClientState> for HttpCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &ClientState) -> Result<Self, Refusal> {
        let ClientCaller(token) = ClientCaller::from_request_parts(parts, state).await?;
        let app = &state.app;
        let registry = app.keys.registry();
        let authorization = token.authorization;
        // It was good a moment ago. What was revoked since is seen by the next request.
        let until = registry.reauthorize(&authorization, app.clock.now());
        let ends = [authorization.expires, until.ok().flatten()];
        let subject = authorization
            .subject
            .expect("a verified client token has a subject");
        let limits = registry.limits(authorization.app);
        let (permissions, owned) = (authorization.permissions, subject.clone());
        let caller = Caller::over_http(authorization.app, owned, permissions);
        Ok(Self {
            size: BucketSize {
                per_second: limits.calls_per_second(app.sessions.limits.calls_per_second),
                burst: limits.call_burst(app.sessions.limits.call_burst),
            },
            state: state.clone(),
            caller,
            subject,
            expires: ends.into_iter().flatten().min(),
        })
    }
}

impl HttpCaller {
    /// How many calls may be made at once, so how many a batch holds at most.
    pub(super) fn burst(&self) -> usize {
        usize::try_from(self.size.burst).unwrap_or(usize::MAX)
    }

    /// How deep a body's values may nest.
    pub(super) fn json_depth(&self) -> usize {
        self.state.app.sessions.limits.json_depth
    }

    /// Counts a refusal that is no call's.
    pub(super) fn note_refusal(&self, code: ErrorCode) {
        self.state.app.metrics.rejected(code);
    }

    /// Counts calls; the time until there is room for them, if there is none now.
    pub(super) fn count(&self, calls: usize) -> Result<(), Duration> {
        let now = self.state.app.clock.monotonic();
        let device = (self.caller.app, &self.subject);
        let counted = self.state.buckets.take(device, calls, self.size, now);
        counted.inspect_err(|_| self.state.app.metrics.rejected(ErrorCode::RateLimited))
    }

    /// Carries a call out, to its end even if the caller hangs up.
    pub(super) async fn carry_out(&self, call: &RawCall<'_>) -> Result<Reply, CallFailure> {
        let app = &self.state.app;
        let result = match self.begin(call) {
            Ok(Step::Done(outcome)) => Ok(outcome),
            Ok(Step::Later(future)) => self.state.run_to_completion(future).await,
            Err(failure) => Err(failure),
        };
        match result {
            // What else follows from it concerns a connection, and there is none.
            Ok(Outcome::Done { reply, .. }) => Ok(reply),
            Ok(Outcome::Join(_)) => Err(CallFailure::needs_socket()),
            Err(failure) => {
                app.metrics.rejected(failure.code);
                if call.id.is_none() {
                    let reason = failure.code.text();
                    tracing::debug!(reason, "notification over HTTP refused");
                }
                Err(failure)
            }
        }
    }

    fn begin(&self, call: &RawCall<'_>) -> Result<Step, CallFailure> {
        let app = &self.state.app;
        let origin = Origin {
            caller: &self.caller,
            outlet: Outlet::Node(&app.fanout),
            expires: &|| self.expires,
        };
        let note = |method| app.metrics.called(method);
        app.sessions.dispatcher.dispatch(origin, call, &note)
    }
}
