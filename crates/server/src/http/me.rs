use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use hexline_model::Timestamp;
use hexline_token::{Access, KeyEntry as _, Verified};
use http::HeaderMap;
use serde_json::{Value, json};

use super::error::Refusal;
use crate::app::App;
use crate::auth::bearer_of;

/// `GET /client/v1/me`: the token as the server understands it. Times are in milliseconds.
pub(crate) async fn me(
    State(app): State<Arc<App>>,
    ConnectInfo(socket): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let peer = app.door.peer(socket, &headers);
    let token = bearer_of(&headers).map_err(|refusal| app.door.failed(refusal, peer))?;
    let Verified { entry, claims } = app.door.verify(&token, Access::Client, peer).await?;
    let subject = claims
        .subject()
        .expect("a verified client token has a subject");
    Ok(Json(json!({
        "app": entry.app(),
        "key": entry.id(),
        "address": subject.to_string(),
        "identity": subject.identity.as_str(),
        "device": subject.device.as_str(),
        "grants": claims.grants(),
        "ceiling": entry.ceiling().map(std::sync::Arc::as_ref),
        "issued": claims.issued().as_millis(),
        "expires": claims.expires().map(Timestamp::as_millis),
        "jti": claims.token_id(),
        "profile": claims.profile(),
    })))
}
