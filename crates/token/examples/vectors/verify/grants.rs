use serde_json::{Value, json};

use super::{List, NOW, seconds, with};

pub(super) fn revocations(list: &mut List) {
    let revoked = "token_revoked";
    let by = |revocation: Value| json!({"policy": {"revocations": [revocation]}});
    let token = || with(&json!({"jti": "j1"}));
    list.add(
        "revoked by its jti",
        token(),
        revoked,
        &by(json!({"jti": "j1"})),
    );
    list.add(
        "another jti revoked",
        token(),
        "",
        &by(json!({"jti": "j2"})),
    );
    list.add(
        "a token without a jti is not revoked by one",
        with(&json!({})),
        "",
        &by(json!({"jti": "j1"})),
    );
    list.add(
        "revoked with the app's tokens issued until then",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW})),
    );
    list.add(
        "issued a second later",
        token(),
        "",
        &by(json!({"issued_before_s": NOW - 1})),
    );
    list.add(
        "an iat within the same second",
        with(&json!({"iat": seconds(NOW) + 0.75})),
        revoked,
        &by(json!({"issued_before_s": NOW})),
    );
    list.add(
        "revoked with the identity's tokens",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW, "identity": "alice"})),
    );
    list.add(
        "another identity's tokens revoked",
        token(),
        "",
        &by(json!({"issued_before_s": NOW, "identity": "bob"})),
    );
    list.add(
        "revoked with the device's tokens",
        token(),
        revoked,
        &by(json!({"issued_before_s": NOW, "identity": "alice", "device": "web1"})),
    );
    list.add(
        "another device's tokens revoked",
        token(),
        "",
        &by(json!({"issued_before_s": NOW, "identity": "alice", "device": "web2"})),
    );
    list.add(
        "the app is disabled",
        token(),
        revoked,
        &json!({"policy": {"app_disabled": true}}),
    );
    list.add(
        "what is wrong with the claims is said before the revocation",
        with(&json!({"sub": "alice", "jti": "j1"})),
        "claim_invalid",
        &by(json!({"jti": "j1"})),
    );
}

pub(super) fn grants(list: &mut List) {
    let missing = "grant_missing";
    let needs = |service: &str| json!({"needs": service});
    let token = |grants: &Value| with(&json!({"grants": grants}));
    list.add(
        "the grant is there",
        token(&json!({"signal": true})),
        "",
        &needs("signal"),
    );
    list.add(
        "the grant is an empty object",
        token(&json!({"signal": {}})),
        "",
        &needs("signal"),
    );
    list.add(
        "the grant is false",
        token(&json!({"signal": false})),
        missing,
        &needs("signal"),
    );
    list.add(
        "the grant is not there",
        token(&json!({"chat": true})),
        missing,
        &needs("signal"),
    );
    list.add(
        "no grants at all",
        with(&json!({"grants": null})),
        missing,
        &needs("push"),
    );
    list.add(
        "the key's ceiling allows it",
        token(&json!({"chat": true})),
        "",
        &json!({
            "needs": "chat", "policy": {"ceilings": {"hs256": {"chat": true}}}
        }),
    );
    list.add(
        "the key's ceiling does not allow it",
        token(&json!({"chat": true})),
        missing,
        &json!({
            "needs": "chat", "policy": {"ceilings": {"hs256": {"signal": true}}}
        }),
    );
    list.add(
        "what narrowed grants allow",
        token(&json!({
            "signal": {"channels": ["news.*", "lobby"], "publish": false},
            "chat": {"conversations": ["c1"], "create": false},
            "video": {"sessions": ["s1"], "publish": ["audio"]}
        })),
        "",
        &json!({"asks": [
            ["join_channel", "news.sport", true], ["join_channel", "news.", true],
            ["join_channel", "news", false], ["join_channel", "lobby", true],
            ["join_channel", "lobby2", false], ["publish", "lobby", false],
            ["use_conversation", "c1", true], ["use_conversation", "c2", false],
            ["create_conversation", "", false], ["join_session", "s1", true],
            ["join_session", "s2", false], ["publish_media", "audio", true],
            ["publish_media", "video", false]
        ]}),
    );
    list.add("token and ceiling must both allow a call", token(&json!({"signal": {"channels": ["a*"]}})), "", &json!({
        "policy": {"ceilings": {"hs256": {"signal": {"channels": ["ab", "b"], "publish": false}}}},
        "asks": [
            ["join_channel", "ab", true], ["join_channel", "ac", false],
            ["join_channel", "b", false], ["publish", "ab", false]
        ]
    }));
    list.add(
        "the parts of the platform API",
        with(&json!({
            "aud": "http://localhost:8000/platform/v1", "sub": null,
            "grants": {"platform": {"tokens": true, "keys": false}}
        })),
        "",
        &json!({"access": "platform", "asks": [
            ["platform", "tokens", true], ["platform", "keys", false], ["platform", "users", false]
        ]}),
    );
}
