//! A scene as PNG: drawn larger than it will be, then averaged, which smooths every edge.

use std::sync::OnceLock;

use anyhow::anyhow;
use plotters::backend::{BitMapBackend, DrawingBackend as _};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontFamily, FontStyle, FontTransform, RGBAColor, ShapeStyle, TextStyle,
    register_font,
};

use super::scene::{Align, Color, Mark, Scene, Shape};

/// Each pixel is the mean of so many by so many.
const FINER: u32 = 3;

/// The scene as the bytes of a PNG file.
pub(crate) fn picture(scene: &Scene) -> anyhow::Result<Vec<u8>> {
    static FONT: OnceLock<bool> = OnceLock::new();
    let has_font = FONT.get_or_init(|| {
        let bytes = include_bytes!("../../fonts/DejaVuSans-subset.ttf");
        register_font("sans-serif", FontStyle::Normal, bytes).is_ok()
    });
    if !has_font {
        return Err(anyhow!("the built-in font is damaged"));
    }
    let (w, h) = (scene.width * FINER, scene.height * FINER);
    let mut fine = vec![255; w as usize * h as usize * 3];
    let mut canvas = BitMapBackend::with_buffer(&mut fine, (w, h));
    for mark in &scene.marks {
        draw(&mut canvas, mark).map_err(|error| anyhow!("could not draw the picture: {error}"))?;
    }
    drop(canvas);
    let size = (scene.width as usize, scene.height as usize);
    encode(size, &averaged(&fine, size))
}

fn averaged(fine: &[u8], (w, h): (usize, usize)) -> Vec<u8> {
    let n = FINER as usize;
    let mut coarse = Vec::with_capacity(w * h * 3);
    for y in 0..h {
        for x in 0..w {
            for channel in 0..3 {
                let mut sum = 0;
                for row in 0..n {
                    let start = ((y * n + row) * w * n + x * n) * 3 + channel;
                    sum += (0..n).map(|col| u32::from(fine[start + 3 * col])).sum::<u32>();
                }
                coarse.push((sum / (FINER * FINER)) as u8);
            }
        }
    }
    coarse
}

/// Pixels of red, green and blue as the bytes of a PNG file.
pub(crate) fn encode((w, h): (usize, usize), rgb: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, w as u32, h as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

/// What the backend says of a mark; its own type of error is not exported.
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn fine(value: f64) -> i32 {
    (value * f64::from(FINER)).round() as i32
}

fn style(Color(r, g, b, alpha): Color, width: f64) -> ShapeStyle {
    let width = (width * f64::from(FINER)).round().max(1.0) as u32;
    RGBAColor(r, g, b, f64::from(alpha) / 255.0).stroke_width(width)
}

fn draw(canvas: &mut BitMapBackend<'_>, mark: &Mark) -> Drawn {
    let at = |(x, y): (f64, f64)| (fine(x), fine(y));
    match mark {
        Mark::Line { points, width, color, dashed: false } => {
            let style = style(*color, *width);
            canvas.draw_path(points.iter().map(|point| at(*point)), &style)?;
        }
        Mark::Line { points, width, color, dashed: true } => {
            let style = style(*color, *width);
            for (a, b) in dashes(points, 6.0, 4.0) {
                canvas.draw_path([at(a), at(b)], &style)?;
            }
        }
        Mark::Point { at: (x, y), radius, shape, color } => {
            let r = *radius;
            match shape {
                Shape::Disc => {
                    canvas.draw_circle(at((*x, *y)), fine(r) as u32, &style(*color, 1.0), true)?;
                }
                Shape::Ring => {
                    let turn = |k: i32| f64::from(k) * std::f64::consts::TAU / 24.0;
                    let circle =
                        (0..=24).map(|k| at((x + r * turn(k).cos(), y + r * turn(k).sin())));
                    canvas.draw_path(circle, &style(*color, 1.3))?;
                }
            }
        }
        Mark::Text { at: place, text, size, color, align, turned } => {
            let Color(r, g, b, alpha) = *color;
            let h_pos = match align {
                Align::Start => HPos::Left,
                Align::Middle => HPos::Center,
                Align::End => HPos::Right,
            };
            let font = (FontFamily::SansSerif, size * f64::from(FINER));
            let turn = if *turned { FontTransform::Rotate270 } else { FontTransform::None };
            let color = RGBAColor(r, g, b, f64::from(alpha) / 255.0);
            let style = TextStyle::from(font)
                .color(&color)
                .transform(turn)
                .pos(Pos::new(h_pos, VPos::Center));
            canvas.draw_text(text, &style, at(*place))?;
        }
        Mark::Image { at: place, size, cells, rgb } => image(canvas, *place, *size, *cells, rgb)?,
    }
    Ok(())
}

/// Fills a box with cells, each pixel with the one that it lies in.
fn image(
    canvas: &mut BitMapBackend<'_>,
    place: (f64, f64),
    size: (f64, f64),
    (columns, rows): (usize, usize),
    rgb: &[[u8; 3]],
) -> Drawn {
    let (x0, y0) = (fine(place.0), fine(place.1));
    let (w, h) = (fine(place.0 + size.0) - x0, fine(place.1 + size.1) - y0);
    let mut pixels = Vec::with_capacity(w.max(0) as usize * h.max(0) as usize * 3);
    for y in 0..h {
        let row = y as usize * rows / h as usize;
        for x in 0..w {
            pixels.extend(rgb[row * columns + x as usize * columns / w as usize]);
        }
    }
    if !pixels.is_empty() {
        canvas.blit_bitmap((x0, y0), (w as u32, h as u32), &pixels)?;
    }
    Ok(())
}

/// A line in pieces: so much of it, then so much left out.
fn dashes(points: &[(f64, f64)], on: f64, off: f64) -> Vec<((f64, f64), (f64, f64))> {
    let mut pieces = Vec::new();
    let mut done = 0.0;
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let place = |s: f64| (x0 + (x1 - x0) * s / length, y0 + (y1 - y0) * s / length);
        // Where in the pattern this stretch begins.
        let mut s = -(done % (on + off));
        while s < length {
            let (from, to) = (s.max(0.0), (s + on).min(length));
            if from < to {
                pieces.push((place(from), place(to)));
            }
            s += on + off;
        }
        done += length;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_part_of_a_line_whatever_its_corners() {
        let corner = [(0.0, 0.0), (30.0, 0.0), (30.0, 45.0)];
        let total: f64 =
            dashes(&corner, 6.0, 4.0).iter().map(|(a, b)| (b.0 - a.0).hypot(b.1 - a.1)).sum();
        // 75 units are 7 patterns of 10 and 5 of the next dash.
        assert!((total - 47.0).abs() < 1e-9, "{total}");
    }

    #[test]
    fn pixels_are_the_mean_of_those_they_are_made_of() {
        let n = (FINER * FINER) as usize;
        let fine: Vec<u8> = (0..n).flat_map(|k| [k as u8, 0, 255]).collect();
        assert_eq!(averaged(&fine, (1, 1)), [(n as u8 - 1) / 2, 0, 255]);
    }
}
