//! SQLite's side of the functions that `rows.sql` and `webhooks.sql` are written with; PostgreSQL's are in
//! `functions.sql`.

use diesel::{QueryResult, SqliteConnection, define_sql_function, sql_types::*};
use sha2::{Digest, Sha256};

define_sql_function! { fn digest(text: Text) -> Text }
define_sql_function! { fn hash_of(text: Text) -> Binary }
define_sql_function! { fn number(hex: Text) -> BigInt }
define_sql_function! { fn uuid_v7(at_ms: BigInt, hex: Text) -> Binary }
define_sql_function! { fn time_of(ms: BigInt) -> BigInt }
define_sql_function! { fn json_of(text: Text) -> Text }
define_sql_function! { fn text_of(id: Binary) -> Text }

/// Makes the functions known to a connection.
pub fn register(connection: &mut SqliteConnection) -> QueryResult<()> {
    digest_utils::register_impl(connection, |text: String| hex::encode(Sha256::digest(text)))?;
    hash_of_utils::register_impl(connection, |text: String| Sha256::digest(text).to_vec())?;
    number_utils::register_impl(connection, |digest: String| {
        i64::from_str_radix(&digest[..7], 16).expect("a digest is hex")
    })?;
    uuid_v7_utils::register_impl(connection, |at_ms: i64, digest: String| {
        let text = format!("{at_ms:012x}7{}8{}", &digest[..3], &digest[3..18]);
        hex::decode(text).expect("a digest is hex")
    })?;
    time_of_utils::register_impl(connection, |ms: i64| ms * 1_000)?;
    json_of_utils::register_impl(connection, |text: String| text)?;
    text_of_utils::register_impl(connection, |id: Vec<u8>| {
        uuid::Uuid::from_slice(&id).expect("ids are 16 bytes").to_string()
    })
}
