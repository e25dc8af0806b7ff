//! A drawing as text. Comes in: lines, circles and words at coordinates in pixels. Goes out: one SVG document without references to anything
//! outside of it. What is drawn is deliberately not known here.

use std::fmt::{Display, Write};

/// Where a text's coordinate is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn word(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// A drawing that grows.
#[derive(Clone, Debug)]
pub struct Svg {
    text: String,
}

const STYLE: &str = "text{font-family:sans-serif;font-size:11px;fill:#222}.title{font-size:14px;font-weight:bold}.default{font-weight:bold}\
                     .grid{stroke:#ddd}.lead{stroke:#aaa;stroke-width:.7}.axis{stroke:#222}.line{fill:none;stroke-width:1.5}\
                     .front{fill:none;stroke:#999;stroke-dasharray:4 3}.ring{fill:none;stroke:#222;stroke-width:2}\
                     .area{fill-opacity:.6}.box{fill:none;stroke:#bbb}.mark{stroke:#d55e00;stroke-dasharray:3 3}.markname{fill:#d55e00;font-size:10px}\
                     .row{font-size:13px;font-weight:bold;fill:#555}.big{font-size:24px}.small{font-size:10px;fill:#555}";

impl Svg {
    /// An empty drawing; `title` is what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escaped(title);
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
        );
        Svg { text }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line through all points; `colour` is one of ours, or empty where the class says it.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str, colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let stroke = if colour.is_empty() { String::new() } else { format!(" stroke=\"{colour}\"") };
        self.push(format_args!("<polyline class=\"{class}\"{stroke} points=\"{}\"/>", points.join(" ")));
    }

    /// What the points enclose.
    pub fn area(&mut self, points: &[(f64, f64)], colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.push(format_args!("<polygon class=\"area\" fill=\"{colour}\" points=\"{}\"/>", points.join(" ")));
    }

    pub fn frame(&mut self, (left, top): (f64, f64), (width, height): (f64, f64), class: &str) {
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        ));
    }

    /// What `draw` adds has this title: a screen reader says it, and it is shown when the pointer rests there.
    pub fn group(&mut self, title: &str, draw: impl FnOnce(&mut Svg)) {
        self.push(format_args!("<g><title>{}</title>", escaped(title)));
        draw(self);
        self.push("</g>");
    }

    /// `tip` is shown when the pointer rests on it.
    pub fn circle(&mut self, (x, y): (f64, f64), radius: f64, class: &str, colour: &str, tip: &str) {
        let fill = if colour.is_empty() { String::new() } else { format!(" fill=\"{colour}\"") };
        let tip = escaped(tip);
        self.push(format_args!(
            "<circle class=\"{class}\"{fill} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>{tip}</title></circle>"
        ));
    }

    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (anchor, text) = (anchor.word(), escaped(text));
        self.push(format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    /// The document.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, element: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }
}

/// Text that XML and HTML take as text.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_break_out_of_a_drawing() {
        assert_eq!(escaped("a<b> & \"c\" 'd'\n\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;  ");
        let mut svg = Svg::new(10.0, 20.0, "<x>");
        svg.text((1.0, 2.25), Anchor::End, "tick", "</svg>");
        let text = svg.finish();
        assert!(text.contains("<title>&lt;x&gt;</title>"), "{text}");
        assert!(
            text.contains("<text class=\"tick\" x=\"1.0\" y=\"2.2\" text-anchor=\"end\">&lt;/svg&gt;</text>"),
            "{text}"
        );
        assert_eq!(text.matches("</svg>").count(), 1);
    }
}
