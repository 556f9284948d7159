//! The forms of statements: what is asked, and how each database is asked.
//!
//! Most statements are one of a few forms: a row by its key or all rows by a key, a row locked, inserted, or some columns of
//! it updated. A statement is then one line in `statements.rs`, made by a macro of this file; the text stands in
//! `sqlite/forms.rs`, for one at a time, and in `postgres/forms.rs`, for all who ask at the same moment.

use diesel::{QueryResult, pg::Pg, query_builder::QueryFragment};

use super::{
    batch::{Kind, LockKey},
    postgres, sqlite,
};

/// A statement that is answered.
pub trait Statement: Clone + Send + Sync + 'static {
    /// What one is answered.
    type Answer: Send + 'static;
    /// Its name, for the log.
    const NAME: &'static str;
    /// What it does.
    const KIND: Kind;

    /// The row that it locks, whatever statement does.
    fn lock_key(&self) -> Option<LockKey> {
        None
    }

    /// Of the locks that are taken at the same moment, those with lower numbers come first.
    fn lock_order() -> u8 {
        0
    }

    /// Whether an answer says that something was written.
    fn wrote(_: &Self::Answer) -> bool {
        false
    }

    /// Asks SQLite.
    fn on_sqlite(
        &self,
        connection: &mut sqlite::Conn,
    ) -> impl Future<Output = QueryResult<Self::Answer>> + Send;

    /// Asks PostgreSQL, for many at once; answers in their order.
    fn on_postgres(
        connection: &postgres::Conn,
        asks: &[Self],
    ) -> impl Future<Output = QueryResult<Vec<Self::Answer>>> + Send;
}

/// A statement that writes rows and has nothing to answer, so that nobody need wait for it.
pub trait DeferredWrite: Send + 'static {
    /// What one leaves to be written.
    type Row: Clone + Send + Sync + 'static;
    /// Its name.
    const NAME: &'static str;
    /// The rows it writes. Of a job's writes to the same rows the second waits until the first is done.
    const ROWS: &'static str;

    /// Makes it on SQLite.
    fn on_sqlite(
        connection: &mut sqlite::Conn,
        row: &Self::Row,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// The statement that makes it on PostgreSQL, for many.
    fn on_postgres(rows: &[Self::Row]) -> Box<dyn QueryFragment<Pg> + Send + '_>;
}

/// A row as it was read and as it is to be.
#[derive(Clone, Debug)]
pub struct Changed<R> {
    /// As it was read; `None` where all columns are to be written.
    pub before: Option<R>,
    /// As it is to be.
    pub after: R,
}

/// What a read is asked with: a value for each column that it finds its rows by.
macro_rules! keys {
    ($(#[$doc:meta])* $name:ident($($column:ident: $type:ty),+) of $table:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[allow(non_camel_case_types, missing_docs, reason = "it is called as the method is")]
        pub struct $name {
            $(pub $column: $type,)+
        }

        impl $name {
            const BY: &'static [$crate::ledger::table::Column<Self>] =
                &[$($crate::ledger::table::column!($table.$column of $name)),+];
        }
    };
}

/// `one`: the row that has these columns. `all`: every row that has them; what follows ends the statement.
macro_rules! read {
    ($(#[$doc:meta])* one $name:ident($($column:ident: $type:ty),+) -> $View:ident of $table:ident $(, $after:literal)?) => {
        $crate::ledger::form::keys! { $(#[$doc])* $name($($column: $type),+) of $table }
        $crate::ledger::form::one_row! { $name -> $View of $table, Read, concat!("", $($after)?), concat!("", $($after)?), {} }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, $($column: impl Into<$type>),+) -> Result<Option<$View>, Error> {
                self.read($name { $($column: $column.into()),+ }).await
            }
        }
    };
    ($(#[$doc:meta])* all $name:ident($($column:ident: $type:ty),+) -> $View:ident of $table:ident, $after:literal) => {
        $crate::ledger::form::keys! { $(#[$doc])* $name($($column: $type),+) of $table }

        impl Statement for $name {
            type Answer = Vec<$View>;
            const NAME: &'static str = stringify!($name);
            const KIND: Kind = Kind::Read;

            async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<Self::Answer> {
                sqlite::forms::Select::<_, $View>::new(stringify!($table), Self::BY, self, $after)
                    .load(connection)
                    .await
            }

            async fn on_postgres(
                mut connection: &postgres::Conn,
                asks: &[Self],
            ) -> QueryResult<Vec<Self::Answer>> {
                let found = postgres::forms::Select::<_, $View>::new(stringify!($table), Self::BY, asks, $after);
                Ok(postgres::forms::each(asks.len(), found.load(&mut connection).await?))
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, $($column: impl Into<$type>),+) -> Result<Vec<$View>, Error> {
                self.read($name { $($column: $column.into()),+ }).await
            }
        }
    };
}

/// The row that has this key, locked until the transaction ends. Locks are taken in the order of the numbers, and within a
/// table in that of the keys.
macro_rules! lock {
    ($order:literal: $(#[$doc:meta])* $name:ident($($column:ident: $type:ty),+) -> $View:ident of $table:ident) => {
        $crate::ledger::form::keys! { $(#[$doc])* $name($($column: $type),+) of $table }
        $crate::ledger::form::one_row! {
            $name -> $View of $table, Lock,
            // `begin immediate` has taken the only lock there is.
            "",
            // No key that is referred to ever changes, so checks of foreign keys need not wait.
            concat!(" order by ", $("row.", stringify!($column), ", ",)+ "1 for no key update of row"),
            {
                fn lock_key(&self) -> Option<LockKey> {
                    let key = [$(self.$column.to_string()),+].join("/");
                    Some(LockKey::new(stringify!($table), key))
                }

                fn lock_order() -> u8 {
                    $order
                }
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, $($column: impl Into<$type>),+) -> Result<Option<$View>, Error> {
                self.ask($name { $($column: $column.into()),+ }).await
            }
        }
    };
}

macro_rules! one_row {
    ($name:ident -> $View:ident of $table:ident, $kind:ident, $sqlite:expr, $postgres:expr, { $($more:tt)* }) => {
        impl Statement for $name {
            type Answer = Option<$View>;
            const NAME: &'static str = stringify!($name);
            const KIND: Kind = Kind::$kind;

            $($more)*

            async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<Self::Answer> {
                let row = sqlite::forms::Select::<_, $View>::new(stringify!($table), Self::BY, self, $sqlite);
                row.get_result(connection).await.optional()
            }

            async fn on_postgres(
                mut connection: &postgres::Conn,
                asks: &[Self],
            ) -> QueryResult<Vec<Self::Answer>> {
                let found = postgres::forms::Select::<_, $View>::new(stringify!($table), Self::BY, asks, $postgres);
                let found = postgres::forms::each(asks.len(), found.load(&mut connection).await?);
                Ok(found.into_iter().map(|rows| rows.into_iter().next()).collect())
            }
        }
    };
}

/// Adds a row.
macro_rules! insert {
    ($(#[$doc:meta])* $name:ident($Row:ident)) => {
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "it is called as the method is")]
        pub struct $name;

        impl DeferredWrite for $name {
            type Row = $Row;
            const NAME: &'static str = stringify!($name);
            const ROWS: &'static str = <$Row as Table>::NAME;

            async fn on_sqlite(connection: &mut sqlite::Conn, row: &$Row) -> QueryResult<()> {
                sqlite::forms::Insert::<Self, $Row>::new(row).execute(connection).await.map(drop)
            }

            fn on_postgres(rows: &[$Row]) -> Box<dyn QueryFragment<Pg> + Send + '_> {
                Box::new(postgres::forms::Insert::<Self, $Row, Untyped>::new(rows.iter()))
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, row: &$Row) -> Result<(), Error> {
                self.defer::<$name>(row.clone()).await
            }
        }
    };
}

/// Adds a row unless its place is taken; says whether it did.
macro_rules! insert_unless_taken {
    ($(#[$doc:meta])* $name:ident($Row:ident)) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(non_camel_case_types, reason = "it is called as the method is")]
        pub struct $name($Row);

        impl Statement for $name {
            type Answer = bool;
            const NAME: &'static str = stringify!($name);
            const KIND: Kind = Kind::Write;

            fn wrote(added: &bool) -> bool {
                *added
            }

            async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<bool> {
                let insert = sqlite::forms::Insert::<Self, $Row>::unless_taken(&self.0);
                Ok(insert.execute(connection).await? == 1)
            }

            async fn on_postgres(mut connection: &postgres::Conn, asks: &[Self]) -> QueryResult<Vec<bool>> {
                let rows = asks.iter().map(|ask| &ask.0);
                let insert =
                    postgres::forms::Insert::<Self, $Row, <$Row as Table>::KeySqlType>::unless_taken(rows);
                let mut added: Vec<<$Row as Table>::Key> = insert.load(&mut connection).await?;
                // Of those that ask with the same key, the first gets it.
                let taken = |ask: &Self| added.iter().position(|key| *key == ask.0.key()).map(|index| added.remove(index));
                Ok(asks.iter().map(taken).map(|added| added.is_some()).collect())
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, row: &$Row) -> Result<bool, Error> {
                self.ask($name(row.clone())).await
            }
        }
    };
}

/// Writes columns of a row that was read before and is found by its key: those listed, or all that ever change.
macro_rules! update {
    ($(#[$doc:meta])* $name:ident($Row:ident): $($column:ident),+) => {
        $crate::ledger::form::update! { @ $(#[$doc])* $name($Row) &[$(<$Row>::$column),+] }
    };
    ($(#[$doc:meta])* $name:ident($Row:ident)) => {
        $crate::ledger::form::update! { @ $(#[$doc])* $name($Row) <$Row as Table>::CHANGING }
    };
    (@ $(#[$doc:meta])* $name:ident($Row:ident) $set:expr) => {
        $(#[$doc])*
        #[allow(non_camel_case_types, reason = "it is called as the method is")]
        pub struct $name;

        impl $name {
            /// The columns it writes.
            pub const SET: &'static [Column<$Row>] = $set;
        }

        impl DeferredWrite for $name {
            type Row = Changed<$Row>;
            const NAME: &'static str = stringify!($name);
            const ROWS: &'static str = <$Row as Table>::NAME;

            async fn on_sqlite(connection: &mut sqlite::Conn, row: &Self::Row) -> QueryResult<()> {
                let Changed { before, after } = row;
                let (table, key) = (<$Row as Table>::NAME, <$Row as Table>::KEY);
                match sqlite::forms::Update::new(table, key, Self::SET, "", before.as_ref(), after) {
                    Some(update) => update.execute(connection).await.map(drop),
                    None => Ok(()),
                }
            }

            fn on_postgres(rows: &[Self::Row]) -> Box<dyn QueryFragment<Pg> + Send + '_> {
                let (table, key) = (<$Row as Table>::NAME, <$Row as Table>::KEY);
                let rows = rows.iter().map(|row| &row.after);
                Box::new(postgres::forms::Update::<Self, $Row>::new(table, key, Self::SET, "", rows))
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, before: &$Row, after: &$Row) -> Result<(), Error> {
                self.defer::<$name>(Changed { before: Some(before.clone()), after: after.clone() }).await
            }
        }
    };
}

/// As `update!`, a write that is waited for, and so a statement of its own: where another job's `set!` may find the same
/// rows at the same moment, the two must not be parts of one statement.
macro_rules! update_and_wait {
    ($(#[$doc:meta])* $name:ident($Row:ident)) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(non_camel_case_types, reason = "it is called as the method is")]
        pub struct $name(Changed<$Row>);

        impl Statement for $name {
            type Answer = ();
            const NAME: &'static str = stringify!($name);
            const KIND: Kind = Kind::Write;

            fn wrote((): &()) -> bool {
                true
            }

            async fn on_sqlite(&self, connection: &mut sqlite::Conn) -> QueryResult<()> {
                let Changed { before, after } = &self.0;
                let (table, key, set) = (<$Row as Table>::NAME, <$Row as Table>::KEY, <$Row as Table>::CHANGING);
                match sqlite::forms::Update::new(table, key, set, "", before.as_ref(), after) {
                    Some(update) => update.execute(connection).await.map(drop),
                    None => Ok(()),
                }
            }

            async fn on_postgres(mut connection: &postgres::Conn, asks: &[Self]) -> QueryResult<Vec<()>> {
                let (table, key, set) = (<$Row as Table>::NAME, <$Row as Table>::KEY, <$Row as Table>::CHANGING);
                let rows = asks.iter().map(|ask| &ask.0.after);
                let update = postgres::forms::Update::<Self, $Row>::new(table, key, set, "", rows);
                update.execute(&mut connection).await?;
                Ok(vec![(); asks.len()])
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(&self, before: &$Row, after: &$Row) -> Result<(), Error> {
                self.ask($name(Changed { before: Some(before.clone()), after: after.clone() })).await
            }
        }
    };
}

/// Sets columns of all rows that have these columns.
macro_rules! set {
    (
        $(#[$doc:meta])*
        $name:ident of $table:ident where ($($by:ident: $by_type:ty),+) set ($($column:ident: $type:ty),+), $and:literal
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[allow(non_camel_case_types, missing_docs, reason = "it is called as the method is")]
        pub struct $name {
            $(pub $by: $by_type,)+
            $(pub $column: $type,)+
        }

        impl $name {
            const BY: &'static [Column<Self>] = &[$($crate::ledger::table::column!($table.$by of $name)),+];
            const SET: &'static [Column<Self>] = &[$($crate::ledger::table::column!($table.$column of $name)),+];
        }

        impl DeferredWrite for $name {
            type Row = Self;
            const NAME: &'static str = stringify!($name);
            const ROWS: &'static str = concat!(stringify!($table), $and);

            async fn on_sqlite(connection: &mut sqlite::Conn, row: &Self) -> QueryResult<()> {
                match sqlite::forms::Update::new(stringify!($table), Self::BY, Self::SET, $and, None, row) {
                    Some(update) => update.execute(connection).await.map(drop),
                    None => Ok(()),
                }
            }

            fn on_postgres(rows: &[Self]) -> Box<dyn QueryFragment<Pg> + Send + '_> {
                let (table, by) = (stringify!($table), Self::BY);
                Box::new(postgres::forms::Update::<Self, Self>::new(table, by, Self::SET, $and, rows.iter()))
            }
        }

        impl Tx {
            $(#[$doc])*
            pub async fn $name(
                &self,
                $($by: impl Into<$by_type>,)+
                $($column: impl Into<$type>,)+
            ) -> Result<(), Error> {
                self.defer::<$name>($name { $($by: $by.into(),)+ $($column: $column.into(),)+ }).await
            }
        }
    };
}

/// A statement that is no form, a function in `statements/`. It is made on a connection of its own job: a job that shares
/// a transaction leaves it, to be run by itself.
macro_rules! alone {
    ($($subject:ident { $($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* })*) => {
        impl Tx {
            $($(
                $(#[$doc])*
                pub async fn $name(&self, $($arg: $type),*) -> Result<$out, Error> {
                    match self {
                        Self::Sqlite(connection) => Ok(sqlite::statements::$subject::$name(
                            &mut *connection.lock().await, $($arg),*
                        ).await?),
                        Self::Postgres(connection) => connection.lock().await.ask_mut(async |connection| {
                            postgres::statements::$subject::$name(connection, $($arg),*).await
                        }).await,
                        Self::Reads(reads) => reads.connection().await?.ask_mut(async |connection| {
                            postgres::statements::$subject::$name(connection, $($arg),*).await
                        }).await,
                        Self::Batch(batch) => match batch.leave().await {},
                    }
                }
            )*)*
        }
    };
}

pub(super) use {
    alone, insert, insert_unless_taken, keys, lock, one_row, read, set, update, update_and_wait,
};
