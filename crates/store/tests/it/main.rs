//! The shared suite: every case runs on a SQLite file and on PostgreSQL.
//!
//! A case is an async function that takes a [`rig::Rig`], an empty database of its own;
//! `on_both!` lists the cases of a file, and each becomes two tests, `…::sqlite::case` and
//! `…::postgres::case`. PostgreSQL is named by `HEXLINE_TEST_POSTGRES`; without it those tests
//! fail. To add a case: the function, and its name in the list.

/// Makes two tests of each case.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::rig::on_sqlite(super::$case).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::rig::on_postgres(super::$case).await;
            })*
        }
    };
}

mod apps;
mod audit;
mod auth;
mod database;
mod durability;
mod holds;
mod idempotency;
mod journal;
mod keys;
mod migrations;
mod nodes;
mod operators;
mod revocations;
mod rig;
mod seals;
mod service;
mod webhooks;
