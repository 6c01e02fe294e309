use axum::Json;
use hexline_model::Timestamp;
use hexline_token::KeyEntry as _;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::kit::authenticator::AuthenticatedToken;
use crate::kit::client_caller::ClientCaller;

/// A token as the server understands it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// The app's id.
    app: String,
    /// The key that signed.
    key: String,
    /// `identity/device`
    address: String,
    /// Who.
    identity: String,
    /// On which device of theirs.
    device: String,
    /// What the token grants.
    #[schema(value_type = Object)]
    grants: Value,
    /// What the key lets it grant, if it limits that.
    #[schema(value_type = Option<Object>)]
    ceiling: Option<Value>,
    /// When it was issued, in milliseconds.
    issued: i64,
    /// When it ends, in milliseconds.
    expires: Option<i64>,
    /// The token's own id.
    jti: Option<String>,
    /// What the token says of the user.
    #[schema(value_type = Value)]
    profile: Option<Box<RawValue>>,
}

/// The caller's token, as the server understands it
#[utoipa::path(
    get,
    path = "/client/v1/me",
    tag = "client",
    security(("clientToken" = [])),
    responses((status = 200, description = "What the token says", body = TokenView))
)]
pub(crate) async fn me(ClientCaller(token): ClientCaller) -> Json<TokenView> {
    let AuthenticatedToken { entry, claims, .. } = token;
    let subject = claims
        .subject()
        .expect("a verified client token has a subject");
    Json(TokenView {
        app: entry.app().to_string(),
        key: entry.id().to_string(),
        address: subject.to_string(),
        identity: subject.identity.to_string(),
        device: subject.device.to_string(),
        grants: json!(claims.grants()),
        ceiling: entry.ceiling().map(|ceiling| json!(ceiling.as_ref())),
        issued: claims.issued().as_millis(),
        expires: claims.expires().map(Timestamp::as_millis),
        jti: claims.token_id().map(ToOwned::to_owned),
        profile: claims.profile().map(ToOwned::to_owned),
    })
}
