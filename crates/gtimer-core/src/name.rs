//! Names, each text held once.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::enabled;

/// The name of a timer or a stamp: a small number that stands for a text.
///
/// Two names are equal when their texts are. Making one looks the text up in a table that all
/// threads share, and the first name of a text keeps it until the program ends; so make the names
/// of a hot loop once, outside of it, or by [`name!`](crate::name!), which does so per call site.
///
/// ```
/// use gtimer_core::{Name, name};
///
/// let dynamic = Name::new(&format!("gate {}", 7));
/// assert_eq!(dynamic, name!("gate 7"));
/// assert_eq!(dynamic.as_str(), "gate 7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u32);

/// The numbers are multiples of the size of a slot, so that a stamp need not multiply.
pub(crate) const SHIFT: u32 = 7;
/// The greatest number whose multiple is positive as a signed number.
const MAX_NAMES: u32 = (1 << (31 - SHIFT)) - 1;

#[derive(Default)]
struct Table {
    ids: HashMap<&'static str, u32>,
    texts: Vec<&'static str>,
}

static TABLE: Mutex<Option<Table>> = Mutex::new(None);

impl Name {
    /// The name of this text.
    ///
    /// # Panics
    ///
    /// When there are 16,777,215 names already. They take more than a gigabyte then; give what
    /// differs in so many ways one name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let table = table.get_or_insert_with(Table::default);
        if let Some(&id) = table.ids.get(text) {
            return Self(id);
        }
        let text: &'static str = Box::leak(Box::from(text));
        table.texts.push(text);
        // Zero means "no name" in a call site and in a slot.
        let number = u32::try_from(table.texts.len()).unwrap_or(u32::MAX);
        assert!(number <= MAX_NAMES, "more than {MAX_NAMES} names");
        let id = number << SHIFT;
        table.ids.insert(text, id);
        Self(id)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = table.as_ref().map(|table| table.texts.as_slice());
        texts
            .and_then(|texts| texts.get((self.0 >> SHIFT) as usize - 1))
            .copied()
            .unwrap_or_default()
    }

    /// The number, as it stands in a slot.
    pub(crate) const fn id(self) -> u32 {
        self.0
    }

    /// The number, counted from one.
    pub(crate) const fn number(self) -> u32 {
        self.0 >> SHIFT
    }

    /// The name behind a number that came from [`Name::id`].
    pub(crate) const fn of(id: u32) -> Self {
        Self(id)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The text, quoted where it is empty or has blanks.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.as_str();
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return fmt::Debug::fmt(text, f);
        }
        f.pad(text)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

/// The number of no name: of a site whose stamps pass, because timing is disabled.
const DISABLED: u32 = u32::MAX;

/// A place in the program that always uses one name, and looks it up only once.
///
/// [`name!`](crate::name!) and [`stamp!`](crate::stamp!) make one for you.
#[derive(Debug)]
pub struct Site {
    /// Zero before the first use.
    id: AtomicU32,
    text: &'static str,
}

impl Site {
    /// A site that uses this name.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { id: AtomicU32::new(0), text }
    }

    /// The name.
    #[inline(always)]
    #[must_use]
    pub fn name(&self) -> Name {
        // The text behind the number is read only under the table's lock.
        let id = self.id.load(Ordering::Relaxed);
        if id.cast_signed() > 0 { Name(id) } else { self.first() }
    }

    /// The name, if it was looked up before and timing is enabled.
    #[inline(always)]
    pub(crate) fn known(&self) -> Option<Name> {
        if cfg!(feature = "off") {
            return None;
        }
        let id = self.id.load(Ordering::Relaxed);
        // One comparison for both that are no names: `DISABLED` is less than zero here.
        (id.cast_signed() > 0).then_some(Name(id))
    }

    /// Whether timing was found to be disabled.
    #[inline(always)]
    pub(crate) fn passes(&self) -> bool {
        cfg!(feature = "off") || self.id.load(Ordering::Relaxed) == DISABLED
    }

    /// The name; none where timing is disabled.
    #[inline(always)]
    #[must_use]
    pub fn live(&self) -> Option<Name> {
        if cfg!(feature = "off") {
            return None;
        }
        match self.id.load(Ordering::Relaxed) {
            DISABLED => None,
            0 => self.first_live(),
            id => Some(Name(id)),
        }
    }

    #[cold]
    fn first_live(&self) -> Option<Name> {
        if enabled() {
            return Some(self.first());
        }
        self.id.store(DISABLED, Ordering::Relaxed);
        None
    }

    #[cold]
    fn first(&self) -> Name {
        let name = Name::new(self.text);
        // A site whose stamps pass goes on passing them.
        let _ = self.id.compare_exchange(0, name.0, Ordering::Relaxed, Ordering::Relaxed);
        name
    }
}

/// The [`Name`] of a literal, looked up once per call site.
///
/// ```
/// use gtimer_core::{FakeClock, Timer, name};
///
/// let mut timer = Timer::with_clock("root", FakeClock::new());
/// timer.stamp(name!("read"))?;
/// # Ok::<(), gtimer_core::TimerError>(())
/// ```
#[macro_export]
macro_rules! name {
    ($text:expr) => {{
        static SITE: $crate::Site = $crate::Site::new($text);
        SITE.name()
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_name_on_every_thread() {
        let here = Name::new("a name that many threads ask for");
        let others: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| Name::new("a name that many threads ask for")))
            .collect();
        for other in others {
            assert_eq!(other.join().unwrap(), here);
        }
        assert_ne!(Name::new("another"), here);
    }

    #[test]
    fn a_name_is_quoted_where_it_would_be_misread() {
        assert_eq!(Name::new("read").to_string(), "read");
        assert_eq!(Name::new("read all").to_string(), "\"read all\"");
        assert_eq!(Name::new("\u{1b}[2J").to_string(), "\"\\u{1b}[2J\"");
        assert_eq!(Name::new("").to_string(), "\"\"");
    }
}
