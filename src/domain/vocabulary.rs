//! The closed vocabularies: statuses, kinds, roles. Each word is written once and means the same in the
//! database, on the wire and in the log.

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    serialize::{self, Output, ToSql},
    sql_types::Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

/// An enum whose values are text everywhere.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? })*) => { $(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema, AsExpression,
            FromSqlRow,
        )]
        #[diesel(sql_type = Text)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant),*
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        // By hand: the derived one would take `{"card": null}` for `"card"`.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                let known = Self::ALL.iter().copied().find(|value| value.as_str() == word);
                known.ok_or_else(|| de::Error::unknown_variant(&word, &[$($word),*]))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<DB: Backend> ToSql<Text, DB> for $name
        where
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> serialize::Result {
                <str as ToSql<Text, DB>>::to_sql(self.as_str(), out)
            }
        }

        impl<DB: Backend> FromSql<Text, DB> for $name
        where
            String: FromSql<Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                let word = <String as FromSql<Text, DB>>::from_sql(bytes)?;
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str() == word)
                    .ok_or_else(|| format!("{word:?} is no {}", stringify!($name)).into())
            }
        }
    )* };
}

words! {
    /// Where a payment stands. A function of the facts recorded for it, not of the order they came in.
    PaymentStatus {
        /// Waiting for the tenant.
        Pending = "pending",
        /// The tenant has paid and the money is on its way.
        Processing = "processing",
        /// Paid.
        Succeeded = "succeeded",
        /// The newest try failed; a new link can be made.
        Failed = "failed",
        /// Paid once, and all of it given back.
        Refunded = "refunded",
        /// Called off by an agent.
        Cancelled = "cancelled",
    }

    /// What the money is for.
    PaymentType {
        /// Deposit collected during offer acceptance.
        HoldingDeposit = "holding_deposit",
        /// Balance payment due before move-in.
        MoveInBalance = "move_in_balance",
        /// Fee charged on tenancy renewal.
        RenewalFee = "renewal_fee",
        /// Bespoke one-off payment created by an agent.
        Custom = "custom",
    }

    /// How the tenant pays.
    PaymentMethod {
        /// By card, on the hosted page.
        Card = "card",
        /// Pay by Bank: a bank transfer started on the hosted page.
        OpenBanking = "open_banking",
    }

    /// What a token may do. Each may do all that the one before may.
    Role {
        /// Sees what an agent sees, and changes nothing.
        Viewer = "viewer",
        /// Asks for money and follows it.
        Agent = "agent",
        /// Also sets limits, issues tokens and settles anomalies.
        Admin = "admin",
    }

    /// Where a todo stands.
    TodoStatus {
        /// To be done.
        Open = "open",
        /// Done.
        Complete = "complete",
    }

    /// Where a custom payment task stands.
    TaskStatus {
        /// To be paid.
        Pending = "pending",
        /// Paid.
        Paid = "paid",
    }

    /// What is strange about a payment, for a person to look at.
    AnomalyKind {
        /// Paid more than once, or a custom task that another payment had paid already.
        DoublePayment = "double_payment",
        /// Money came in for a payment that had been called off.
        PaidAfterCancelled = "paid_after_cancelled",
        /// The provider reported another amount than was asked for; it does not count as paid.
        AmountMismatch = "amount_mismatch",
        /// The provider reported another currency than pounds; it does not count as paid.
        CurrencyMismatch = "currency_mismatch",
        /// An event names one payment by its intent and another by its metadata.
        ReferenceConflict = "reference_conflict",
        /// Processing for 14 days.
        StuckProcessing = "stuck_processing",
        /// The provider used an event id twice, for different facts.
        EventIdReuse = "event_id_reuse",
    }

    /// Whether an anomaly still waits for a person.
    AnomalyStatus {
        /// Waiting.
        Open = "open",
        /// Settled by a person.
        Resolved = "resolved",
    }

    /// How a person settled an anomaly.
    Resolution {
        /// The money went back.
        Refunded = "refunded",
        /// It stands as it is.
        Accepted = "accepted",
        /// Something else; the note says what.
        Other = "other",
    }

    /// What an audit row records.
    AuditAction {
        /// A payment was asked for.
        Created = "payment.created",
        /// The tenant paid and the money is on its way.
        Processing = "payment.processing",
        /// Calmony Pay reported the money.
        Succeeded = "payment.succeeded",
        /// The newest try failed.
        Failed = "payment.failed",
        /// All of the money went back; or, where the status stays as it was, more of it than before.
        Refunded = "payment.refunded",
        /// An agent confirmed a payment made outside the platform.
        ManuallyPaid = "payment.manually_paid",
        /// An admin said that such a confirmation was a mistake.
        ManualPaymentWithdrawn = "payment.manual_payment_withdrawn",
        /// An agent called the payment off.
        Cancelled = "payment.cancelled",
        /// A dead link was replaced.
        CheckoutRenewed = "payment.checkout_renewed",
        /// The agency's card limit changed; the resource is the agency.
        CardLimitUpdated = "payment.card_limit_updated",
        /// Something strange was noticed.
        Anomaly = "payment.anomaly",
        /// A person settled an anomaly, or a withdrawal left nothing of it.
        AnomalyResolved = "payment.anomaly_resolved",
        /// A token was issued; the resource is the token.
        TokenIssued = "token.issued",
        /// A token was revoked; the resource is the token.
        TokenRevoked = "token.revoked",
    }

    /// What we know of a payment intent.
    IntentState {
        /// Named together with a payment, nothing decided yet.
        Seen = "seen",
        /// The money came, in the right amount and currency.
        Succeeded = "succeeded",
        /// Reported with the wrong amount or currency: never pays.
        Rejected = "rejected",
    }

    /// The furthest a checkout session got, short of success.
    AttemptBest {
        /// Nothing reported.
        Pending = "pending",
        /// Money on its way.
        Processing = "processing",
        /// A try failed.
        Failed = "failed",
    }

    /// Where a checkout session stands with the provider.
    SessionState {
        /// Asked for; the answer is unknown.
        Creating = "creating",
        /// The link works.
        Open = "open",
        /// Expired or used up.
        Dead = "dead",
        /// The provider refused to make it.
        Rejected = "rejected",
    }

    /// What was concluded about a webhook event.
    Verdict {
        /// It changed the payment's status.
        Applied = "applied",
        /// Authentic, and the status stays as it was.
        Stale = "stale",
        /// A type of event we have no use for.
        Ignored = "ignored",
        /// No payment known for it yet, or it could not be applied yet: tried again later.
        Parked = "parked",
        /// Given up on after the last try.
        Dead = "dead",
        /// Signed, but not readable as an event.
        Quarantined = "quarantined",
    }
}

impl PaymentStatus {
    /// Whether the tenant is to pay, and so has a use for a link.
    pub const fn awaits_tenant(self) -> bool {
        match self {
            Self::Pending | Self::Failed => true,
            Self::Processing | Self::Succeeded | Self::Refunded | Self::Cancelled => false,
        }
    }
}

impl AnomalyKind {
    /// Whether facts that gave one of this kind may come to give it no longer, and give it again after that. Only a
    /// withdrawn manual mark takes something back, and it can only have been one proof of payment too many.
    pub const fn may_lapse(self) -> bool {
        match self {
            Self::DoublePayment => true,
            Self::PaidAfterCancelled
            | Self::AmountMismatch
            | Self::CurrencyMismatch
            | Self::ReferenceConflict
            | Self::StuckProcessing
            | Self::EventIdReuse => false,
        }
    }
}

impl Role {
    /// Whether this role may do what `required` may.
    pub const fn covers(self, required: Self) -> bool {
        // In the order they are declared.
        self as u8 >= required as u8
    }
}
