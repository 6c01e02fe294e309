//! Building and verifying, beside the bare signature check and JSON parse of the same bytes.
//!
//! The bar: verifying HS256 takes at most 1.5 times as long as `hs256/bare`. Read
//! `cargo bench -p hexline-token --bench token`.

use std::hint::black_box;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use base64_simd::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use hexline_model::Timestamp;
use hexline_token::{
    Access, Algorithm, Audiences, PrivateKey, Rules, SingleKey, TokenBuilder, verify,
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_secs(1_490_479_599);
const ID: &str = "b234fdb83571400f9b62e204d735126e";
const SECRET: &str = "zW3tYm0dGm1jJm0yL0sQ0mOqVf6Wb3mB5kQm4rJx2nE";

/// A token's parts, decoded beforehand.
struct Parts {
    signed: String,
    header: Vec<u8>,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

fn builder(key: &PrivateKey) -> TokenBuilder {
    TokenBuilder::create()
        .signing_key(ID, key.clone())
        .access("client")
        .grants(json!({"chat": true, "signal": true, "video": true}))
        .identity("alice")
        .device("web1")
        .ttl(60 * 60)
}

fn parts(token: &str) -> Parts {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text).expect("base64url");
    Parts {
        signed: signed.to_owned(),
        header: decode(header),
        claims: decode(claims),
        signature: decode(signature),
    }
}

fn parse(parts: &Parts) -> (Value, Value) {
    let header = serde_json::from_slice(&parts.header).expect("JSON");
    (header, serde_json::from_slice(&parts.claims).expect("JSON"))
}

fn measure(c: &mut Criterion, name: &str, key: &PrivateKey, bare: &dyn Fn(&Parts) -> bool) {
    let builder = builder(key);
    let token = builder.build_at(NOW).expect("builds");
    let parts = parts(&token);
    let rules = Rules::new(Audiences::new(["http://localhost:8000"]));
    let registry = SingleKey::new(ID, key.verifying_key(), rules);
    let mut group = c.benchmark_group(name);
    group.bench_function("verify", |b| {
        b.iter(|| verify(black_box(&token), Access::Client, &registry, NOW).expect("good"));
    });
    group.bench_function("bare", |b| {
        b.iter(|| {
            assert!(bare(black_box(&parts)));
            parse(black_box(&parts))
        });
    });
    group.bench_function("bare signature", |b| b.iter(|| bare(black_box(&parts))));
    group.bench_function("build", |b| b.iter(|| black_box(&builder).build_at(NOW)));
    group.finish();
}

fn hs256(c: &mut Criterion) {
    let key = PrivateKey::hmac(Algorithm::Hs256, SECRET.as_bytes()).expect("long enough");
    let bare = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    measure(c, "hs256", &key, &|parts| {
        hmac::verify(&bare, parts.signed.as_bytes(), &parts.signature).is_ok()
    });
}

fn eddsa(c: &mut Criterion) {
    let key = PrivateKey::generate(Algorithm::EdDsa).expect("made");
    let jwk: Value = public_jwk(&key);
    measure(c, "eddsa", &key, &checker(&ED25519, &coordinate(&jwk["x"])));
}

fn es256(c: &mut Criterion) {
    let key = PrivateKey::generate(Algorithm::Es256).expect("made");
    let jwk = public_jwk(&key);
    let point = [vec![4], coordinate(&jwk["x"]), coordinate(&jwk["y"])].concat();
    measure(c, "es256", &key, &checker(&ECDSA_P256_SHA256_FIXED, &point));
}

fn checker(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
) -> impl Fn(&Parts) -> bool + use<> {
    let key = ParsedPublicKey::new(algorithm, point).expect("a public key");
    move |parts| {
        key.verify_sig(parts.signed.as_bytes(), &parts.signature)
            .is_ok()
    }
}

fn public_jwk(key: &PrivateKey) -> Value {
    let jwk = key.verifying_key().to_jwk(None).expect("not a secret");
    serde_json::from_str(&jwk).expect("JSON")
}

fn coordinate(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD
        .decode_to_vec(value.as_str().expect("text"))
        .expect("base64url")
}

criterion_group!(benches, hs256, eddsa, es256);
criterion_main!(benches);
