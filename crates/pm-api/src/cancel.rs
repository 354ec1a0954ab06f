//! Asking a run to stop.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks runs to stop, from any thread; clones share one answer.
///
/// A cancelled run starts no new chunk. Chunks that are being worked on end by themselves; a task
/// that takes long asks [`Worker::cancelled`](crate::Worker::cancelled) now and then.
///
/// ```
/// let token = pm_api::CancelToken::new();
/// let elsewhere = token.clone();
/// elsewhere.cancel();
/// assert!(token.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Node>);

#[derive(Default)]
struct Node {
    cancelled: AtomicBool,
    parent: Option<CancelToken>,
    listeners: Mutex<Listeners>,
}

type Listener = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<(u64, Listener)>,
}

/// Keeps a listener of a [`CancelToken`] until it is dropped.
#[must_use = "a listener that is dropped hears nothing"]
pub struct OnCancel(Vec<(CancelToken, u64)>);

impl CancelToken {
    /// Makes a token that nobody has cancelled yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a token that is cancelled when `self` is, and can be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Node { parent: Some(self.clone()), ..Node::default() }))
    }

    /// Cancels this token and its children; doing it again changes nothing.
    pub fn cancel(&self) {
        if self.0.cancelled.swap(true, Ordering::SeqCst) {
            return;
        }
        // Listeners may take locks of their own, so none is held while they are called.
        let listeners: Vec<Listener> =
            self.listeners().all.iter().map(|(_, listener)| Arc::clone(listener)).collect();
        listeners.iter().for_each(|listener| listener());
    }

    /// Whether this token or one that it descends from was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
            || self.0.parent.as_ref().is_some_and(Self::is_cancelled)
    }

    /// Lets `listener` be called, on the thread that cancels, when this token or one that it
    /// descends from is cancelled; at once if that is so already. It may be called more than once.
    ///
    /// This is how those who wait hear of it; to ask now and then,
    /// [`is_cancelled`](Self::is_cancelled) is enough.
    pub fn on_cancel(&self, listener: impl Fn() + Send + Sync + 'static) -> OnCancel {
        let listener: Listener = Arc::new(listener);
        let mut kept = Vec::new();
        let mut at = Some(self);
        while let Some(token) = at {
            let mut listeners = token.listeners();
            listeners.next += 1;
            let key = listeners.next;
            listeners.all.push((key, Arc::clone(&listener)));
            drop(listeners);
            kept.push((token.clone(), key));
            at = token.0.parent.as_ref();
        }
        // Whoever cancelled before the listener was there did not call it.
        if self.is_cancelled() {
            listener();
        }
        OnCancel(kept)
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        for (token, key) in &self.0 {
            token.listeners().all.retain(|(other, _)| other != key);
        }
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

impl fmt::Debug for OnCancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCancel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn cancelling_goes_down_to_children_and_never_up() {
        let parent = CancelToken::new();
        let (one, other) = (parent.child(), parent.child());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled());
        parent.cancel();
        assert!(other.is_cancelled() && other.child().is_cancelled());
    }

    #[test]
    fn listeners_hear_of_their_token_and_its_ancestors_while_they_are_kept() {
        let heard = Arc::new(AtomicUsize::new(0));
        let listener = || {
            let heard = Arc::clone(&heard);
            move || {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        };
        let n_heard = || heard.swap(0, Ordering::SeqCst);
        let parent = CancelToken::new();
        let (one, other) = (parent.child(), parent.child());
        let on_one = one.on_cancel(listener());
        other.cancel();
        assert_eq!(n_heard(), 0);
        parent.cancel();
        assert_eq!(n_heard(), 1);
        one.cancel();
        assert_eq!(n_heard(), 1, "by its own token too");
        drop(on_one);
        let fresh = CancelToken::new();
        drop(fresh.on_cancel(listener()));
        fresh.cancel();
        assert_eq!(n_heard(), 0, "it was dropped before");
        let _late = fresh.child().on_cancel(listener());
        assert_eq!(n_heard(), 1, "at once, because it was cancelled before");
    }
}
