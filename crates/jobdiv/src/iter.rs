/// Makes an iterator of a type that maps the numbers of its field `range` by its method `at`.
///
/// `std`'s `Map` would do, but it walks in `nth`, because its closure may have effects; `at` has
/// none, so every step of any width costs the same here.
macro_rules! range_iterator {
    ($iterator:ty, $item:ty) => {
        impl Iterator for $iterator {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                self.range.next().map(|i| self.at(i))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.range.size_hint()
            }

            fn count(self) -> usize {
                self.range.len()
            }

            fn last(mut self) -> Option<$item> {
                self.next_back()
            }

            fn nth(&mut self, n: usize) -> Option<$item> {
                self.range.nth(n).map(|i| self.at(i))
            }
        }

        impl DoubleEndedIterator for $iterator {
            fn next_back(&mut self) -> Option<$item> {
                self.range.next_back().map(|i| self.at(i))
            }

            fn nth_back(&mut self, n: usize) -> Option<$item> {
                self.range.nth_back(n).map(|i| self.at(i))
            }
        }

        impl ExactSizeIterator for $iterator {}
        impl std::iter::FusedIterator for $iterator {}
    };
}
