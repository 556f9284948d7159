//! SQL behind the server's back, as a person with `sqlite3` or `psql` writes it.

use diesel::{Connection as _, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection};

use super::Database;

/// A connection of the test's own.
pub enum Sql {
    Sqlite(SqliteConnection),
    Postgres(tokio_postgres::Client),
}

/// What a database said no with: its words, and the constraint where it names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    pub constraint: Option<String>,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

impl Sql {
    /// Connects to a database by its URL.
    pub async fn open(database: Database, url: &str) -> Self {
        match database {
            Database::Sqlite => {
                let path = url.strip_prefix("sqlite://").expect("a SQLite URL");
                let mut connection = SqliteConnection::establish(path).expect("the file opens");
                connection
                    .batch_execute("pragma busy_timeout = 5000; pragma foreign_keys = on")
                    .expect("settings");
                Self::Sqlite(connection)
            }
            Database::Postgres => {
                let (client, connection) =
                    tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a connection");
                tokio::spawn(connection);
                Self::Postgres(client)
            }
        }
    }

    /// Runs statements.
    pub async fn run(&mut self, statements: &str) -> Result<(), Refused> {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(statements).map_err(|error| {
                let message = error.to_string();
                let constraint = message.strip_prefix("CHECK constraint failed: ").map(str::to_owned);
                Refused { message, constraint }
            }),
            Self::Postgres(client) => client.batch_execute(statements).await.map_err(|error| {
                let told = error.as_db_error().expect("the server says so");
                let constraint = told.constraint().map(str::to_owned);
                Refused { message: told.message().to_owned(), constraint }
            }),
        }
    }

    /// Runs statements that must pass.
    pub async fn ok(&mut self, statements: &str) {
        self.run(statements).await.unwrap_or_else(|refused| panic!("{statements}: {refused:?}"));
    }

    /// The column `line` of a query's rows.
    pub async fn lines(&mut self, query: &str) -> Vec<String> {
        match self {
            Self::Sqlite(connection) => {
                let rows = diesel::sql_query(query).load::<Line>(connection);
                rows.unwrap_or_else(|error| panic!("{query}: {error}"))
                    .into_iter()
                    .map(|row| row.line)
                    .collect()
            }
            Self::Postgres(client) => {
                let rows = client.query(query, &[]).await;
                let rows = rows.unwrap_or_else(|error| panic!("{query}: {error:?}"));
                rows.iter().map(|row| row.get::<_, String>("line")).collect()
            }
        }
    }
}
