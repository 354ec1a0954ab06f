//! Reductions whose bits do not depend on how the elements were divided.

/// Folds elements `0..n` by a tree over their *indices*, whoever holds which of them.
///
/// The leaves are the elements; a node of `2^k` neighbours that begins at a multiple of `2^k` is
/// `left op right` of its halves; and what is left at the end of `n` elements is folded from the
/// right. For `n = 7`: `((0 1) (2 3)) ((4 5) 6)`. So a sum of floats has the same bits for every
/// division of the elements among workers (and its error grows with `log n`, not `n`), and
/// operations that do not commute see the elements in their order.
///
/// A part of the elements becomes a few nodes, at most two per power of two, and the nodes of all
/// parts become the result:
///
/// ```
/// use pm_api::FixedTree;
///
/// let tenths: Vec<f64> = (0..100).map(|i| f64::from(i) / 10.0).collect();
/// let sum = |a: f64, b: f64| a + b;
/// let whole = pm_api::reduce_in_index_order(tenths.clone(), sum).unwrap();
///
/// let mut left = FixedTree::starting_at(0);
/// let mut right = FixedTree::starting_at(37);
/// tenths[..37].iter().for_each(|x| left.push(*x, sum));
/// tenths[37..].iter().for_each(|x| right.push(*x, sum));
/// left.append(right.into_nodes(), sum);
/// assert_eq!(left.finish(sum).unwrap().to_bits(), whole.to_bits());
/// ```
#[derive(Debug, Clone)]
pub struct FixedTree<V> {
    /// The index of the next element.
    next: usize,
    /// Nodes that are not halves of greater ones yet, in order: how many elements, and their fold.
    nodes: Vec<(usize, V)>,
}

impl<V> FixedTree<V> {
    /// Makes a tree whose first element will be that of index `start`.
    #[must_use]
    pub fn starting_at(start: usize) -> Self {
        Self { next: start, nodes: Vec::new() }
    }

    /// Adds the element that follows.
    pub fn push(&mut self, value: V, op: impl FnMut(V, V) -> V) {
        self.push_node(1, value, op);
    }

    /// Adds the nodes of the elements that follow.
    ///
    /// # Panics
    ///
    /// If they cannot follow: nodes of `2^k` elements begin at multiples of `2^k`.
    pub fn append(
        &mut self,
        nodes: impl IntoIterator<Item = (usize, V)>,
        mut op: impl FnMut(V, V) -> V,
    ) {
        for (len, value) in nodes {
            assert!(
                len.is_power_of_two() && self.next.is_multiple_of(len),
                "a node of {len} elements cannot begin at {}",
                self.next
            );
            self.push_node(len, value, &mut op);
        }
    }

    fn push_node(&mut self, mut len: usize, mut value: V, mut op: impl FnMut(V, V) -> V) {
        let mut start = self.next;
        self.next += len;
        // A right half begins at an odd multiple of its length.
        while start & len != 0 && self.nodes.last().is_some_and(|(left, _)| *left == len) {
            let (_, left) = self.nodes.pop().expect("there is a last one");
            value = op(left, value);
            start -= len;
            len *= 2;
        }
        self.nodes.push((len, value));
    }

    /// The nodes, in order: how many elements each holds, and their fold.
    #[must_use]
    pub fn into_nodes(self) -> Vec<(usize, V)> {
        self.nodes
    }

    /// The fold of all; `None` of none.
    #[must_use]
    pub fn finish(self, mut op: impl FnMut(V, V) -> V) -> Option<V> {
        self.nodes.into_iter().map(|(_, value)| value).rev().reduce(|right, left| op(left, right))
    }
}

/// Folds all elements by the tree of [`FixedTree`]; `None` of none.
pub fn reduce_in_index_order<V>(
    values: impl IntoIterator<Item = V>,
    mut op: impl FnMut(V, V) -> V,
) -> Option<V> {
    let mut tree = FixedTree::starting_at(0);
    values.into_iter().for_each(|value| tree.push(value, &mut op));
    tree.finish(op)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bracket(mut a: String, b: String) -> String {
        a.insert(0, '(');
        a.push_str(&b);
        a.push(')');
        drop(b);
        a
    }

    fn leaves(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
        range.map(|i| char::from(b'a' + i as u8).to_string())
    }

    #[test]
    fn the_tree_is_the_documented_one() {
        let text = |n| reduce_in_index_order(leaves(0..n), bracket).unwrap();
        assert_eq!(text(1), "a");
        assert_eq!(text(7), "(((ab)(cd))((ef)g))");
        assert_eq!(text(8), "(((ab)(cd))((ef)(gh)))");
        assert_eq!(reduce_in_index_order(leaves(0..0), bracket), None);
    }

    /// For every division into three parts, empty ones among them.
    #[test]
    fn the_tree_does_not_depend_on_the_division() {
        for n in 0..=20 {
            let whole = reduce_in_index_order(leaves(0..n), bracket);
            for one in 0..=n {
                for two in one..=n {
                    let mut all = FixedTree::starting_at(0);
                    for part in [0..one, one..two, two..n] {
                        let mut tree = FixedTree::starting_at(part.start);
                        leaves(part).for_each(|leaf| tree.push(leaf, bracket));
                        all.append(tree.into_nodes(), bracket);
                    }
                    assert_eq!(all.finish(bracket), whole, "{n} leaves, cut at {one} and {two}");
                }
            }
        }
    }
}
