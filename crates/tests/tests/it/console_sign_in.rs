use hexline_tests::{OWNER_EMAIL, OWNER_PASSWORD, TestOperator, TestServer, refusal};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn the_set_up_link_makes_one_operator_and_is_dead_then() {
    let server = TestServer::start().await;
    let stranger = TestOperator::stranger(&server);
    assert_eq!(
        stranger.get_refused("/session").await,
        refusal(401, "signed_out")
    );
    let link = server.console_setup_url().expect("there is no operator");
    let owner = server.operator().await;
    let session = owner.get("/session").await;
    assert_eq!(session["operator"]["email"], OWNER_EMAIL);
    assert_eq!(session["operator"]["role"], "owner");
    let (_, token) = link.split_once('#').expect("a fragment");
    let again = json!({
        "token": token, "email": "m@example.org", "name": "M", "password": OWNER_PASSWORD,
    });
    assert_eq!(
        stranger.refused(Method::POST, "/setup", &again).await,
        refusal(403, "forbidden")
    );
}
