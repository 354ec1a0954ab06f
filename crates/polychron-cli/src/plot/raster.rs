//! Reduction of what is too long for a picture: each cell keeps the greatest of what falls into it.

/// Cells over two axes with the greatest value that fell into each, and what came with it.
#[derive(Debug, Clone)]
pub(crate) struct Raster<T> {
    columns: usize,
    rows: usize,
    cells: Vec<Option<(f32, T)>>,
}

impl<T: Copy> Raster<T> {
    pub(crate) fn new(columns: usize, rows: usize) -> Self {
        let (columns, rows) = (columns.max(1), rows.max(1));
        Self { columns, rows, cells: vec![None; columns * rows] }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// The greatest values so far.
    pub(crate) fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.cells.iter().flatten().map(|(value, _)| *value)
    }

    /// The cells, row after row from above.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Option<(f32, T)>> + '_ {
        self.cells.iter().copied()
    }

    /// Puts a value into a cell, counted from the left and from below, if it is greater than what
    /// is there. NaN counts for nothing.
    pub(crate) fn put(&mut self, column: usize, row: usize, value: f32, with: T) {
        let cell = &mut self.cells[(self.rows - 1 - row) * self.columns + column];
        if !value.is_nan() && cell.is_none_or(|(before, _)| value > before) {
            *cell = Some((value, with));
        }
    }

    /// Colours of the cells, row after row from above.
    pub(crate) fn colors(&self, color: impl Fn(Option<(f32, T)>) -> [u8; 3]) -> Vec<[u8; 3]> {
        self.cells.iter().map(|cell| color(*cell)).collect()
    }
}

/// Which of `n_cells` equal parts of `0..n` the number `idx` falls into.
pub(crate) fn cell_of(idx: usize, n: usize, n_cells: usize) -> usize {
    (idx as u128 * n_cells as u128 / n.max(1) as u128) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_the_greatest() {
        let mut raster = Raster::new(2, 2);
        for (column, row, value) in [(0, 0, 1.0), (0, 0, 3.0), (0, 0, 2.0), (1, 1, f32::NAN)] {
            raster.put(column, row, value, value as i32);
        }
        let cells = raster.colors(|cell| cell.map_or([0; 3], |(_, with)| [with as u8; 3]));
        // The first row is the upper one.
        assert_eq!(cells, [[0; 3], [0; 3], [3; 3], [0; 3]]);
    }

    #[test]
    fn every_number_has_a_cell_and_every_cell_as_many_numbers() {
        for (n, n_cells) in [(10, 3), (1000, 7), (5, 5)] {
            let mut counts = vec![0; n_cells];
            (0..n).for_each(|idx| counts[cell_of(idx, n, n_cells)] += 1);
            let (low, high) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(high - low <= 1, "{n} over {n_cells}: {counts:?}");
        }
    }
}
