//! The only unsafe code of the crate: the processor's tick counter, and the timer of a thread.

#![expect(
    unsafe_code,
    reason = "the counter can be read in no other way, and a checked borrow of the thread's timer \
              costs a third of a stamp"
)]

use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

use crate::name::SHIFT;
use crate::node::{Node, flag};
use crate::publish::new_publisher;
use crate::slot::Slot;
use crate::{Name, Timer};

/// The processor's time stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. Where the system forbids it to programs,
    // it does not use it as its clock source either, and then nobody calls this.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// There is no counter that the kernel vouches for; see [`crate::SystemClock`].
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn counter() -> u64 {
    0
}

/// The places of the stamps of a timer, a power of two, so that the number of a name gives one.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    slots: Box<[Slot]>,
    /// The size of a slot times the greatest place; nothing changes either.
    mask: u32,
}

const SLOT_BYTES: usize = 1 << SHIFT;
const _: () = assert!(size_of::<Slot>() == SLOT_BYTES, "a name's number is a multiple of it");

impl Table {
    /// A table of empty places. `n_places` is a power of two.
    pub(crate) fn new(n_places: usize) -> Self {
        assert!(n_places.is_power_of_two(), "{n_places} places are no power of two");
        let slots = std::iter::repeat_with(Slot::default).take(n_places).collect();
        let mask = u32::try_from((n_places - 1) * SLOT_BYTES);
        Self { slots, mask: mask.expect("a table has fewer places than there are names") }
    }

    /// The place that a name has where no other has it.
    #[inline(always)]
    pub(crate) fn home(&mut self, id: u32) -> &mut Slot {
        let at = (id & self.mask) as usize;
        debug_assert!(at.is_multiple_of(SLOT_BYTES), "{id} is the number of a name");
        // SAFETY: the bits of `mask` are those of the greatest offset of a slot, because there is
        // a power of two of them (`new`), and a slot is as large as one. So `at` is the offset of
        // one of them: `slots` and `mask` are private and never assigned.
        unsafe { &mut *self.slots.as_mut_ptr().byte_add(at) }
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new(4)
    }
}

impl std::ops::Deref for Table {
    type Target = [Slot];

    fn deref(&self) -> &[Slot] {
        &self.slots
    }
}

impl std::ops::DerefMut for Table {
    fn deref_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }
}

impl IntoIterator for Table {
    type Item = Slot;
    type IntoIter = std::vec::IntoIter<Slot>;

    fn into_iter(self) -> Self::IntoIter {
        self.slots.into_vec().into_iter()
    }
}

/// The timer of a thread.
///
/// A reference into `timer` lives only inside of [`with`], which says so in `busy` for as long as
/// it has one.
struct Cellar {
    busy: Cell<bool>,
    /// None before the first use.
    timer: UnsafeCell<Option<Timer>>,
}

impl Drop for Cellar {
    fn drop(&mut self) {
        OPEN.set(null_mut());
        LAZY.set(null_mut());
        TOLD.set(null_mut());
    }
}

thread_local! {
    static CELLAR: Cellar =
        const { Cellar { busy: Cell::new(false), timer: UnsafeCell::new(None) } };

    /// What has the focus of the thread's timer, for the short way of a stamp; null while there is
    /// none: before the first use, while [`with`] is at work, when the timer on top has flags, and
    /// when the thread ends. It has no destructor, so it is found without asking whether it is
    /// there.
    static OPEN: Cell<*mut Node> = const { Cell::new(null_mut()) };

    /// The same where something awaits its position, for scopes in which nothing happens.
    static LAZY: Cell<*mut Node> = const { Cell::new(null_mut()) };

    /// The thread's timer, where its top has no flags but that others are told; else null, as
    /// [`OPEN`] is.
    static TOLD: Cell<*mut Timer> = const { Cell::new(null_mut()) };
}

/// The short way of a stamp on the thread's timer; none when it is not open. Where `add` is true,
/// it may be added to what was stamped before.
#[inline(always)]
pub(crate) fn short(name: Name, add: bool) -> Option<i64> {
    let open = OPEN.get();
    if open.is_null() {
        return None;
    }
    // SAFETY: where it is not null, `with` has put it there when it left: it points to the node on
    // top of the thread's timer. The node stays where it is, in its own box, until something is
    // done with the timer, for which `with` is the only way, and that sets the pointer to null
    // first; so does the end of the timer. Nobody else has a reference to it meanwhile, for the
    // same reason, and because this function calls nothing that could come back here: on this way
    // the clock is the counter, and `Node::short` neither allocates nor frees. No other thread can
    // reach it.
    let node = unsafe { &mut *open };
    let fold = if add { node.fold_add } else { node.fold };
    node.short(name, fold, counter)
}

const AWAITING: u32 = flag::AWAITING;
const AWAITING_LAZY: u32 = flag::AWAITING | flag::LAZY;

/// Begins a scope of the thread's timer that has no node; none when it must have one.
#[inline(always)]
pub(crate) fn begin_lazy(name: Name) -> Option<u64> {
    let lazy = LAZY.get();
    if lazy.is_null() {
        return None;
    }
    // SAFETY: as in `short`; `Node::begin_lazy` neither allocates nor frees either, and does not
    // call back.
    unsafe { &mut *lazy }.begin_lazy(name, counter)
}

/// Ends a scope of the thread's timer, if it has no node; says whether it did.
#[inline(always)]
pub(crate) fn end_lazy(run: u64) -> bool {
    let lazy = LAZY.get();
    if lazy.is_null() {
        return false;
    }
    // SAFETY: as in `begin_lazy`.
    unsafe { &mut *lazy }.end_lazy(run, counter)
}

/// The short way of a stamp on a thread's timer of which others are told.
#[inline]
pub(crate) fn short_told(name: Name, add: bool) -> Option<i64> {
    let told = TOLD.get();
    if told.is_null() {
        return None;
    }
    // SAFETY: as in `short`, with the timer in its cell instead of the node on top: where it is not
    // null, `with` has put it there when it left, and sets it to null before it does anything. What
    // is called here neither allocates nor frees, nor does it call a publisher: it writes through
    // the places that the publisher has given.
    unsafe { &mut *told }.short_told(name, add)
}

/// Does something with the thread's timer; nothing inside of itself, and while the thread ends.
#[inline]
pub(crate) fn with<T>(body: impl FnOnce(&mut Timer) -> T) -> Option<T> {
    /// Ends the work, also when it panics.
    struct Work<'a>(&'a Cellar);

    impl Drop for Work<'_> {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: the reference that `with` made of it has ended, and `busy` has kept everybody
            // else out until now.
            if let Some(timer) = unsafe { &mut *self.0.timer.get() } {
                match timer.top.flags {
                    0 => OPEN.set(&raw mut *timer.top),
                    AWAITING | AWAITING_LAZY => LAZY.set(&raw mut *timer.top),
                    flag::SHARED => TOLD.set(&raw mut *timer),
                    _ => {}
                }
            }
            self.0.busy.set(false);
        }
    }

    let with = |cellar: &Cellar| {
        if cellar.busy.replace(true) {
            return None;
        }
        OPEN.set(null_mut());
        LAZY.set(null_mut());
        TOLD.set(null_mut());
        let _work = Work(cellar);
        // SAFETY: nobody else has a reference to the timer, because `busy` was false and the
        // pointer to its top is gone, and while this one lives, `busy` keeps everybody out. No
        // other thread can reach it.
        let timer = unsafe { &mut *cellar.timer.get() };
        let timer = match timer {
            Some(timer) => timer,
            None => timer.insert(first()),
        };
        Some(body(timer))
    };
    CELLAR.try_with(with).ok().flatten()
}

#[cold]
fn first() -> Timer {
    let mut timer = Timer::new("root");
    if let Some(publisher) = new_publisher() {
        timer.publish_to(publisher);
    }
    timer
}
