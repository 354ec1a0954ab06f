//! A scene as SVG.

use std::fmt::Write as _;

use base64::Engine as _;

use super::pixels;
use super::scene::{Align, Color, Mark, Scene, Shape};

/// Viewers take the first of these that they have; all are about as wide.
const FONTS: &str = "DejaVu Sans, Verdana, Bitstream Vera Sans, sans-serif";

/// The scene as a document of its own: no other file, no script.
pub(crate) fn document(scene: &Scene) -> anyhow::Result<String> {
    let (w, h) = (scene.width, scene.height);
    let mut svg = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" \
         width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"{FONTS}\">\n\
         <rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n"
    );
    for mark in &scene.marks {
        svg.push_str(&element(mark)?);
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn element(mark: &Mark) -> anyhow::Result<String> {
    Ok(match mark {
        Mark::Line { points, width, color, dashed } => {
            let mut path = String::new();
            for (x, y) in points {
                let _ = write!(path, "{x:.2},{y:.2} ");
            }
            let dash = if *dashed { " stroke-dasharray=\"6 4\"" } else { "" };
            let stroke = paint("stroke", *color);
            format!(
                "<polyline points=\"{}\" fill=\"none\" {stroke} stroke-width=\"{width:.2}\"{dash} \
                 stroke-linejoin=\"round\"/>",
                path.trim_end()
            )
        }
        Mark::Point { at: (x, y), radius: r, shape, color } => match shape {
            Shape::Disc => {
                let fill = paint("fill", *color);
                format!("<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{r:.2}\" {fill}/>")
            }
            Shape::Ring => {
                let stroke = paint("stroke", *color);
                format!(
                    "<circle cx=\"{x:.2}\" cy=\"{y:.2}\" r=\"{r:.2}\" fill=\"none\" {stroke} \
                     stroke-width=\"1.3\"/>"
                )
            }
        },
        Mark::Text { at: (x, y), text, size, color, align, turned } => {
            let anchor = match align {
                Align::Start => "start",
                Align::Middle => "middle",
                Align::End => "end",
            };
            // A third of the size is where the middle of a line of text is above its base.
            let turn = if *turned {
                format!(" transform=\"rotate(-90 {x:.2} {y:.2})\"")
            } else {
                String::new()
            };
            format!(
                "<text x=\"{x:.2}\" y=\"{y:.2}\" dy=\"{:.2}\" font-size=\"{size}\" \
                 text-anchor=\"{anchor}\"{turn} {}>{}</text>",
                size * 0.35,
                paint("fill", *color),
                escaped(text)
            )
        }
        Mark::Image { at: (x, y), size: (w, h), cells, rgb } => {
            let png = pixels::encode(*cells, rgb.as_flattened())?;
            let data = base64::engine::general_purpose::STANDARD.encode(png);
            format!(
                "<image x=\"{x:.2}\" y=\"{y:.2}\" width=\"{w:.2}\" height=\"{h:.2}\" \
                 preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
                 href=\"data:image/png;base64,{data}\"/>"
            )
        }
    })
}

fn paint(what: &str, Color(r, g, b, alpha): Color) -> String {
    if alpha == 255 {
        format!("{what}=\"#{r:02x}{g:02x}{b:02x}\"")
    } else {
        let opacity = f64::from(alpha) / 255.0;
        format!("{what}=\"#{r:02x}{g:02x}{b:02x}\" {what}-opacity=\"{opacity:.3}\"")
    }
}

fn escaped(text: &str) -> String {
    text.chars()
        // XML has no form for control characters.
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .fold(String::new(), |mut all, c| {
            match c {
                '&' => all.push_str("&amp;"),
                '<' => all.push_str("&lt;"),
                '>' => all.push_str("&gt;"),
                c => all.push(c),
            }
            all
        })
}
