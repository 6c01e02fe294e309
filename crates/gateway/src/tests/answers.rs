//! An answer goes out before what follows from its call.

use super::*;

#[tokio::test]
async fn a_join_is_answered_before_its_join_backs() {
    let rig = Rig::new(|_| ()).await;
    let mut bob = rig.session("bob/d", None);
    let mut alice = rig.session("alice/d", None);
    let join =
        r#"{"jsonrpc":"2.0","id":1,"method":"signal.join","params":{"id":"x","presence":true}}"#;
    bob.handle_text(rig.now(), join);
    alice.handle_text(rig.now(), join);
    let (said, _) = outgoing(&alice);
    assert_eq!(said[0], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert!(said[1].contains("signal.join_back") && said.len() == 2);
}
