//! What a table is to the statements: its name, its key and its columns.
//!
//! `table!` is given the columns of a table once. The row, what is inserted, what an update may name and what is read
//! come from that list, and so does the view that callers are shown, where a table has one. A column that a row lacks, or
//! that `schema.rs` gives another type, does not compile. Not here: the tables themselves (`tables.rs`), and what is done
//! with them (`statements.rs`; the text of each form of statement stands in `sqlite/forms.rs` and `postgres/forms.rs`).

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    expression::Expression,
    pg::Pg,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{Array, HasSqlType, SingleValue},
    sqlite::Sqlite,
};

/// One column of rows `R`, which may be those of a table or the keys that a statement is asked with.
pub struct Column<R: 'static> {
    /// As the database calls it.
    pub name: &'static str,
    /// Pushes a row's value as a parameter.
    pub bind: for<'b> fn(&'b R, &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()>,
    /// The values of many rows, to be pushed as one parameter.
    pub array: for<'a> fn(&[&'a R]) -> Values<'a>,
    /// Whether two rows have the same value.
    pub same: fn(&R, &R) -> bool,
}

/// A table: what its rows are made of.
pub trait Table: Clone + Send + Sync + 'static {
    /// As the database calls it.
    const NAME: &'static str;
    /// The columns that a row is found by.
    const KEY: &'static [Column<Self>];
    /// Their values.
    type Key: PartialEq + Send;
    /// Their types.
    type KeySqlType;
    /// Their values in this row.
    fn key(&self) -> Self::Key;
    /// Every column.
    const COLUMNS: &'static [Column<Self>];
    /// Those that change after a row was inserted.
    const CHANGING: &'static [Column<Self>];
}

/// Something that is read: the rows of a table, or what is shown of them.
pub trait Selected {
    /// What is selected of `row`.
    const LIST: &'static str;
    /// The types of that.
    type SqlType;
}

/// The values of one column in many rows: an array, as a parameter.
pub struct Values<'a>(Box<dyn Bind + 'a>);

impl Values<'_> {
    /// Pushes the array.
    pub fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.bind(out)
    }
}

trait Bind: Send + Sync {
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Collected<ST, U> {
    values: Vec<U>,
    sql_type: PhantomData<fn() -> ST>,
}

impl<ST, U> Bind for Collected<ST, U>
where
    Pg: HasSqlType<ST>,
    ST: SingleValue + 'static,
    U: ToSql<ST, Pg> + Send + Sync,
    Vec<U>: ToSql<Array<ST>, Pg>,
{
    fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<Array<ST>, _>(&self.values)
    }
}

/// The values of one column; `C` is the column, or any expression of its type.
pub fn values<'a, C, U>(_: C, values: impl Iterator<Item = U>) -> Values<'a>
where
    C: Expression,
    C::SqlType: SingleValue + 'static,
    Pg: HasSqlType<C::SqlType>,
    U: ToSql<C::SqlType, Pg> + Send + Sync + 'a,
    Vec<U>: ToSql<Array<C::SqlType>, Pg>,
{
    Values(Box::new(Collected::<C::SqlType, U> { values: values.collect(), sql_type: PhantomData }))
}

/// One column of `$Row`, with the type that `schema.rs` gives it.
macro_rules! column {
    ($table:ident.$column:ident of $Row:ty) => {
        $crate::ledger::table::Column::<$Row> {
            name: stringify!($column),
            bind: |row, out| {
                out.push_bind_param::<diesel::dsl::SqlTypeOf<$crate::schema::$table::$column>, _>(
                    &row.$column,
                )
            },
            array: |rows| {
                $crate::ledger::table::values(
                    $crate::schema::$table::$column,
                    rows.iter().copied().map(|row| &row.$column),
                )
            },
            same: |one, other| one.$column == other.$column,
        }
    };
}
pub(super) use column;

/// Declares a table's row, and what is shown of it where that is less or more. `key` finds a row, `set once` is never
/// written again, `changing` may be.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $table:ident: $Row:ident {
            key { $first:ident: $first_type:ty, $($key:ident: $key_type:ty,)* }
            set once { $($once:ident: $once_type:ty,)* }
            changing { $($change:ident: $change_type:ty,)* }
        }
    ) => {
        $crate::ledger::table::table! {
            @row $(#[$doc])* $table: $Row {
                [$first: $first_type, $($key: $key_type,)*] [$($once: $once_type,)*] [$($change: $change_type,)*]
            }
        }
    };
    (
        $(#[$doc:meta])*
        $table:ident: $Row:ident {
            key { $first:ident: $first_type:ty, $($key:ident: $key_type:ty,)* }
            set once { $($once:ident: $once_type:ty,)* }
            changing { $($change:ident: $change_type:ty,)* }
            shown, set once { $($shown_once:ident: $shown_once_type:ty,)* }
            shown, changing { $($shown_change:ident: $shown_change_type:ty,)* }
        }
        $(#[$view_doc:meta])*
        view $View:ident also {
            $($(#[$also_doc:meta])* $also:ident: $also_type:ty = [$($also_sql:tt)*] as $also_sql_type:ty,)*
        }
    ) => {
        $crate::ledger::table::table! {
            @row $(#[$doc])* $table: $Row {
                [$first: $first_type, $($key: $key_type,)*]
                [$($once: $once_type,)* $($shown_once: $shown_once_type,)*]
                [$($change: $change_type,)* $($shown_change: $shown_change_type,)*]
            }
        }

        $(#[$view_doc])*
        #[derive(Clone, Debug, Queryable)]
        #[allow(missing_docs, reason = "the columns are described in the migration")]
        pub struct $View {
            pub $first: $first_type,
            $(pub $key: $key_type,)*
            $(pub $shown_once: $shown_once_type,)*
            $(pub $shown_change: $shown_change_type,)*
            $($(#[$also_doc])* pub $also: $also_type,)*
        }

        impl $crate::ledger::table::Selected for $View {
            const LIST: &'static str = concat!(
                "row.", stringify!($first), $(", row.", stringify!($key),)* $(", row.", stringify!($shown_once),)*
                $(", row.", stringify!($shown_change),)* $(", ", $($also_sql)*,)*
            );
            type SqlType = (
                diesel::dsl::SqlTypeOf<$crate::schema::$table::$first>,
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$key>,)*
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$shown_once>,)*
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$shown_change>,)*
                $($also_sql_type,)*
            );
        }
    };
    (
        @row $(#[$doc:meta])*
        $table:ident: $Row:ident {
            [$first:ident: $first_type:ty, $($key:ident: $key_type:ty,)*] [$($once:ident: $once_type:ty,)*] [$($change:ident: $change_type:ty,)*]
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
        #[diesel(table_name = $table)]
        #[allow(missing_docs, reason = "the columns are described in the migration")]
        pub struct $Row {
            pub $first: $first_type,
            $(pub $key: $key_type,)*
            $(pub $once: $once_type,)*
            $(pub $change: $change_type,)*
        }

        #[allow(non_upper_case_globals, missing_docs, dead_code, reason = "columns, under their names")]
        impl $Row {
            pub(in crate::ledger) const $first: $crate::ledger::table::Column<Self> = $crate::ledger::table::column!($table.$first of $Row);
            $(pub(in crate::ledger) const $key: $crate::ledger::table::Column<Self> = $crate::ledger::table::column!($table.$key of $Row);)*
            $(pub(in crate::ledger) const $once: $crate::ledger::table::Column<Self> = $crate::ledger::table::column!($table.$once of $Row);)*
            $(pub(in crate::ledger) const $change: $crate::ledger::table::Column<Self> = $crate::ledger::table::column!($table.$change of $Row);)*
        }

        impl $crate::ledger::table::Table for $Row {
            const NAME: &'static str = stringify!($table);
            const KEY: &'static [$crate::ledger::table::Column<Self>] = &[Self::$first, $(Self::$key),*];
            type Key = ($first_type, $($key_type,)*);
            type KeySqlType = (
                diesel::dsl::SqlTypeOf<$crate::schema::$table::$first>,
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$key>,)*
            );
            fn key(&self) -> Self::Key {
                (self.$first.clone(), $(self.$key.clone(),)*)
            }
            const COLUMNS: &'static [$crate::ledger::table::Column<Self>] =
                &[Self::$first, $(Self::$key,)* $(Self::$once,)* $(Self::$change),*];
            const CHANGING: &'static [$crate::ledger::table::Column<Self>] = &[$(Self::$change),*];
        }

        impl $crate::ledger::table::Selected for $Row {
            const LIST: &'static str = concat!(
                "row.", stringify!($first), $(", row.", stringify!($key),)* $(", row.", stringify!($once),)*
                $(", row.", stringify!($change),)*
            );
            type SqlType = (
                diesel::dsl::SqlTypeOf<$crate::schema::$table::$first>,
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$key>,)*
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$once>,)*
                $(diesel::dsl::SqlTypeOf<$crate::schema::$table::$change>,)*
            );
        }
    };
}
pub(super) use table;
