//! How many WebSockets there may be, in all and of one token, so that HTTP always has room.
//!
//! Not here: what one of them may take up ([`super::socket`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::TokenId;

/// WebSockets of a listener: three quarters of its connections.
pub(super) const SOCKETS_MAX: usize = 768;
/// WebSockets of one token. A platform that watches its payments needs one an instance.
pub(super) const SOCKETS_OF_TOKEN_MAX: usize = 64;

/// The WebSockets that are open, counted.
pub(super) struct Sockets {
    max: usize,
    open: Mutex<HashMap<TokenId, usize>>,
}

/// A WebSocket's place among them, given back when dropped.
pub(super) struct Place {
    sockets: Arc<Sockets>,
    token: TokenId,
}

impl Sockets {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, open: Mutex::default() })
    }

    /// A place for one more, or why there is none.
    pub(super) fn take(self: &Arc<Self>, token: TokenId) -> Result<Place, &'static str> {
        let mut open = self.open();
        // At most 768 numbers, once a WebSocket.
        if open.values().sum::<usize>() >= self.max {
            return Err("all WebSockets of this listener are taken\n");
        }
        let of_token = open.entry(token).or_default();
        if *of_token >= SOCKETS_OF_TOKEN_MAX {
            return Err("this token has as many WebSockets as one may have\n");
        }
        *of_token += 1;
        metrics::gauge!("quittance_websockets_open").increment(1);
        Ok(Place { sockets: Arc::clone(self), token })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<TokenId, usize>> {
        // Each change is complete before anything can panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sockets.open();
        if let Some(of_token) = open.get_mut(&self.token) {
            *of_token -= 1;
            if *of_token == 0 {
                open.remove(&self.token);
            }
        }
        metrics::gauge!("quittance_websockets_open").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_has_64_and_all_together_768_and_a_place_given_back_is_free() {
        let sockets = Sockets::new(SOCKETS_MAX);
        let mut places = Vec::new();
        for _ in 0..SOCKETS_MAX / SOCKETS_OF_TOKEN_MAX {
            let token = TokenId::new();
            places.extend((0..SOCKETS_OF_TOKEN_MAX).map(|_| sockets.take(token).expect("a place")));
            if places.len() < SOCKETS_MAX {
                assert!(sockets.take(token).is_err_and(|why| why.contains("this token")));
            }
        }
        let (another, of_a_full_one) = (TokenId::new(), places[0].token);
        assert!(sockets.take(another).is_err_and(|why| why.contains("this listener")));
        drop(places.swap_remove(0));
        let place = sockets.take(another).expect("a place");
        assert!(sockets.take(another).is_err());
        drop(place);
        assert!(sockets.take(of_a_full_one).is_ok());
        drop(places);
        assert!(sockets.open().is_empty(), "no token is remembered");
    }
}
