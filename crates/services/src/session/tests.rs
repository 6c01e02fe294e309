use std::sync::Arc;

use hexline_model::{AppId, NodeId, Route, SeededEntropy, Subject, Timestamp};
use hexline_protocol::session::SessionLimits;
use hexline_token::{Grants, Permissions};
use serde_json::json;

use super::{SessionError, SessionService, SessionSettings};
use crate::Caller;
use crate::keys::KeyRegistry;

fn service() -> SessionService {
    let settings = SessionSettings {
        limits: SessionLimits {
            frame_bytes: 65536,
            calls_per_second: 50,
            call_burst: 100,
            channels: 128,
        },
        features: Vec::new(),
        node: NodeId::generate(&SeededEntropy::new(1)),
        server: "hexline/0.0.0".to_owned(),
    };
    SessionService::new(Arc::new(KeyRegistry::new(Vec::new())), settings)
}

fn app() -> AppId {
    AppId::generate(&SeededEntropy::new(2))
}

fn permissions(ceiling: Option<&str>) -> Arc<Permissions> {
    let parse = |text| Grants::parse(text).expect("well-formed grants");
    let token = parse(r#"{"signal":{"publish":false}}"#);
    Arc::new(Permissions::new(token, ceiling.map(|c| Arc::new(parse(c)))))
}

#[test]
fn a_connection_is_told_of_its_route_and_its_end() {
    let subject = Subject::parse("alice/web1").expect("well formed");
    let route = Route::generate(&SeededEntropy::new(3));
    let caller = Caller::connected(app(), &subject, route, permissions(None));
    let info = service().info(&caller, Some(Timestamp::from_secs(9)));
    let info = info.expect("a user");
    assert_eq!(info.address, format!("alice/web1/{route}"));
    assert_eq!(info.route, Some(route.to_string()));
    assert_eq!(info.expires_ms, Some(9000));
    assert_eq!(info.grants, json!({"signal": {"publish": false}}));
    assert_eq!(info.ceiling, None);
}

#[test]
fn over_http_there_is_no_route() {
    let subject = Subject::parse("alice/web1").expect("well formed");
    let caller = Caller::over_http(app(), subject, permissions(Some(r#"{"signal":true}"#)));
    let info = service().info(&caller, None).expect("a user");
    assert_eq!(
        (info.address.as_str(), info.route),
        ("alice/web1/http", None)
    );
    assert_eq!(
        (info.identity.as_str(), info.device.as_str()),
        ("alice", "web1")
    );
    assert_eq!(info.expires_ms, None);
    assert_eq!(info.ceiling, Some(json!({"signal": true})));
}

#[test]
fn an_apps_own_server_is_no_user() {
    let caller = Caller::server(app(), permissions(None));
    let refused = service().info(&caller, None);
    assert!(matches!(refused, Err(SessionError::NotAUser)));
}
