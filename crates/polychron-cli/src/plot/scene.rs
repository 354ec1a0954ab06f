//! A picture as a list of marks, before it is known whether it becomes PNG or SVG.

/// Red, green, blue, and how opaque, of 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Color {
    pub(crate) const WHITE: Self = Self(255, 255, 255, 255);
    pub(crate) const INK: Self = Self(30, 33, 38, 255);
    pub(crate) const FAINT: Self = Self(226, 229, 234, 255);
    /// What is beyond the limit, and what is not: told apart by all kinds of colour vision.
    pub(crate) const STRONG: Self = Self(213, 62, 15, 255);
    pub(crate) const WEAK: Self = Self(104, 132, 168, 255);
    pub(crate) const REFINED: Self = Self(20, 24, 30, 255);
    /// Lines of the truth.
    pub(crate) const TRUTH: [Self; 4] = [
        Self(0, 114, 178, 255),
        Self(0, 138, 98, 255),
        Self(170, 68, 153, 255),
        Self(120, 94, 20, 255),
    ];
    /// Where a map has no data.
    pub(crate) const NO_DATA: Self = Self(236, 236, 238, 255);

    pub(crate) fn alpha(self, alpha: u8) -> Self {
        Self(self.0, self.1, self.2, alpha)
    }
}

/// Where a text lies from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Start,
    Middle,
    End,
}

/// The form of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Disc,
    /// A circle around a point.
    Ring,
}

/// Lengths in units of the picture, x to the right and y down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    Line {
        points: Vec<(f64, f64)>,
        width: f64,
        color: Color,
        dashed: bool,
    },
    Point {
        at: (f64, f64),
        radius: f64,
        shape: Shape,
        color: Color,
    },
    /// A text whose middle height is at `at`; upward if `turned`.
    Text {
        at: (f64, f64),
        text: String,
        size: f64,
        color: Color,
        align: Align,
        turned: bool,
    },
    /// Cells of colour, row after row from above, that fill a box.
    Image {
        at: (f64, f64),
        size: (f64, f64),
        cells: (usize, usize),
        rgb: Vec<[u8; 3]>,
    },
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) marks: Vec<Mark>,
}

impl Scene {
    pub(crate) fn new((width, height): (u32, u32)) -> Self {
        Self { width, height, marks: Vec::new() }
    }

    pub(crate) fn line(&mut self, points: Vec<(f64, f64)>, width: f64, color: Color) {
        self.marks.push(Mark::Line { points, width, color, dashed: false });
    }

    pub(crate) fn dashes(&mut self, points: Vec<(f64, f64)>, width: f64, color: Color) {
        self.marks.push(Mark::Line { points, width, color, dashed: true });
    }

    pub(crate) fn point(&mut self, at: (f64, f64), radius: f64, shape: Shape, color: Color) {
        self.marks.push(Mark::Point { at, radius, shape, color });
    }

    pub(crate) fn text(&mut self, at: (f64, f64), text: &str, size: f64, align: Align) {
        let (text, color) = (text.to_owned(), Color::INK);
        self.marks.push(Mark::Text { at, text, size, color, align, turned: false });
    }

    pub(crate) fn turned_text(&mut self, at: (f64, f64), text: &str, size: f64) {
        let (text, color, align) = (text.to_owned(), Color::INK, Align::Middle);
        self.marks.push(Mark::Text { at, text, size, color, align, turned: true });
    }
}
