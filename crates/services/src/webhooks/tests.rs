use super::*;
use crate::reach::{Reach, UrlRule};

#[test]
fn a_url_is_https_and_plain() {
    for good in [
        "https://example.com/hook?x=1",
        "https://[2606:4700::1]:8443",
        "https://a.b/ä".replace('ä', "%C3").as_str(),
    ] {
        assert!(
            WebhookUrl::parse(good, UrlRule::default()).is_ok(),
            "{good}"
        );
    }
    let long = format!("https://example.com/{}", "a".repeat(2048));
    for bad in [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https:///x",
        "https://:443/",
        "https://user:pw@example.com/",
        "https://example.com/#f",
        "https://exa mple.com/",
        "https://example.com\\@evil/",
        "http://example.com/",
        "https://exämple.com/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://localhost/",
        &long,
    ] {
        assert!(WebhookUrl::parse(bad, UrlRule::default()).is_err(), "{bad}");
    }
    let dev = UrlRule::webhooks(Reach::PublicAndLoopback);
    assert!(WebhookUrl::parse("http://127.0.0.1:9/", dev).is_ok());
}

#[test]
fn events_are_named_or_all() {
    let set = EventSet::parse(["user.online", "key.revoked"]).expect("known");
    assert_eq!(set.to_stored(), "user.online key.revoked");
    assert_eq!(EventSet::from_stored(&set.to_stored()), set);
    assert_eq!(EventSet::parse(["*"]).expect("all"), EventSet::all());
    assert!(EventSet::parse(["user.*"]).is_err());
    assert!(EventSet::parse([]).is_err());
    // What a later release wrote is passed over.
    assert_eq!(
        EventSet::from_stored("user.online chat.sent").to_stored(),
        "user.online"
    );
}
