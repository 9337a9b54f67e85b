//! Plots as SVG text, which take their colours from the page they stand in (`--c0` … `--c5`, `--ink`,
//! `--faint`, `--grid`), or bring light ones of their own.

const WIDTH: f64 = 720.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;
/// So few points of a line are shown as such.
const DOTS_MAX: usize = 12;

/// One line, or one layer of a stack. `colour` is one of six.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub colour: u8,
    pub points: Vec<(f64, f64)>,
}

/// How values turn into heights.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scale {
    #[default]
    Linear,
    /// Ten times as much is one step up, for latencies.
    Logarithmic,
}

/// What all kinds of plot have in common.
#[derive(Clone, Debug)]
pub struct Frame {
    pub height: f64,
    pub scale: Scale,
    /// Places along the bottom, and what stands there.
    pub ticks: Vec<(f64, String)>,
    /// After each number of the left side.
    pub unit: &'static str,
    /// A value to be marked, and why.
    pub mark: Option<(f64, String)>,
}

impl Default for Frame {
    fn default() -> Self {
        let (scale, ticks) = (Scale::Linear, Vec::new());
        Self { height: 240.0, scale, ticks, unit: "", mark: None }
    }
}

/// From values to places on the paper.
struct Paper<'a> {
    frame: &'a Frame,
    x: (f64, f64),
    y: (f64, f64),
}

impl<'a> Paper<'a> {
    fn over(frame: &'a Frame, points: &[(f64, f64)]) -> Self {
        let x_of = points.iter().map(|point| point.0).chain(frame.ticks.iter().map(|tick| tick.0));
        let (least_x, most_x) = ends(x_of).unwrap_or((0.0, 1.0));
        let marked = frame.mark.iter().map(|mark| mark.0);
        let highest = ends(points.iter().map(|point| point.1).chain(marked)).map_or(1.0, |it| it.1);
        let y = match frame.scale {
            Scale::Linear => (0.0, nice_end(highest)),
            Scale::Logarithmic => {
                let positive = points.iter().map(|point| point.1).filter(|value| *value > 0.0);
                let lowest = ends(positive).map_or(0.1, |it| it.0);
                let lowest = 10_f64.powf(lowest.log10().floor());
                (lowest, 10_f64.powf(highest.max(lowest * 10.0).log10().ceil()))
            }
        };
        Self { frame, x: (least_x, most_x.max(least_x + 1e-9)), y }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let (from, to) = self.y;
        let share = match self.frame.scale {
            Scale::Linear => (value - from) / (to - from),
            Scale::Logarithmic => (value.max(from) / from).log10() / (to / from).log10(),
        };
        self.frame.height - BOTTOM - share * (self.frame.height - TOP - BOTTOM)
    }

    fn levels(&self) -> Vec<f64> {
        let (from, to) = self.y;
        match self.frame.scale {
            Scale::Linear => (0..=4).map(|step| to * f64::from(step) / 4.0).collect(),
            Scale::Logarithmic => std::iter::successors(Some(from), |level| Some(level * 10.0))
                .take_while(|level| *level <= to * 1.001)
                .collect(),
        }
    }

    /// Grid, numbers at its sides, the mark.
    fn draw(&self, svg: &mut String) {
        let (end, base) = (WIDTH - RIGHT, self.frame.height - BOTTOM);
        for level in self.levels() {
            let y = self.y(level);
            let text = shown(level);
            let unit = self.frame.unit;
            push(
                svg,
                &format!(
                    r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{text}{unit}</text>"#,
                    LEFT - 8.0,
                    y + 4.0
                ),
            );
        }
        for (place, text) in &self.frame.ticks {
            let x = self.x(*place);
            // What stands at the edge must not be cut off there.
            let anchor = if x > end - 20.0 { "end" } else { "middle" };
            push(
                svg,
                &format!(
                    r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
                    base + 18.0,
                    escape(text)
                ),
            );
        }
        if let Some((value, why)) = &self.frame.mark {
            let y = self.y(*value);
            push(
                svg,
                &format!(
                    r#"<line class="mark" x1="{LEFT}" y1="{y:.1}" x2="{end}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
                    LEFT + 6.0,
                    y - 5.0,
                    escape(why)
                ),
            );
        }
    }
}

/// Lines over a common bottom.
pub fn lines(frame: &Frame, series: &[Series]) -> String {
    let points: Vec<(f64, f64)> = series.iter().flat_map(|it| it.points.iter().copied()).collect();
    let paper = Paper::over(frame, &points);
    let mut svg = begin(frame);
    paper.draw(&mut svg);
    for one in series {
        let path = path(&paper, &one.points);
        let name = escape(&one.name);
        push(
            &mut svg,
            &format!(
                r#"<path class="line s{}" d="{path}"><title>{name}</title></path>"#,
                one.colour
            ),
        );
        if one.points.len() <= DOTS_MAX {
            for (x, y) in &one.points {
                let (x, y) = (paper.x(*x), paper.y(*y));
                let dot = format!(
                    r#"<circle class="area s{}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#,
                    one.colour
                );
                push(&mut svg, &dot);
            }
        }
    }
    svg.push_str("</svg>");
    svg
}

/// A picture that stands by itself: what it shows above, what the colours mean below.
pub fn figure(title: &str, frame: &Frame, series: &[Series]) -> String {
    const HEAD: f64 = 34.0;
    const FOOT: f64 = 26.0;
    let (height, foot) = (frame.height + HEAD + FOOT, frame.height + HEAD + FOOT / 2.0);
    let title = escape(title);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{title}"><rect width="100%" height="100%" fill="var(--paper,#ffffff)"/><text x="{LEFT}" y="22" fill="var(--ink,#111827)" font-family="system-ui,sans-serif" font-size="15" font-weight="600">{title}</text><svg y="{HEAD}" width="{WIDTH}" height="{:.0}">"#,
        frame.height
    );
    svg.push_str(&lines(frame, series));
    svg.push_str("</svg>");
    let mut x = LEFT;
    for one in series {
        let name = escape(&one.name);
        push(
            &mut svg,
            &format!(
                r#"<rect class="area s{}" x="{x:.0}" y="{:.0}" width="12" height="4" rx="2"/><text class="name" x="{:.0}" y="{:.0}">{name}</text>"#,
                one.colour,
                foot - 4.0,
                x + 18.0,
                foot + 2.0
            ),
        );
        let letters = u32::try_from(one.name.chars().count()).unwrap_or(u32::MAX);
        x += 42.0 + 6.5 * f64::from(letters);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Layers on top of each other; all have the same places.
pub fn stack(frame: &Frame, series: &[Series]) -> String {
    let mut below: Vec<(f64, f64)> = series
        .first()
        .map_or_else(Vec::new, |first| first.points.iter().map(|it| (it.0, 0.0)).collect());
    let mut layers = Vec::new();
    for one in series {
        let above: Vec<(f64, f64)> =
            below.iter().zip(&one.points).map(|(low, point)| (low.0, low.1 + point.1)).collect();
        layers.push((one, below, above.clone()));
        below = above;
    }
    let paper = Paper::over(frame, &below);
    let mut svg = begin(frame);
    paper.draw(&mut svg);
    for (one, low, high) in layers {
        let back: Vec<(f64, f64)> = low.into_iter().rev().collect();
        let area =
            format!("{} L{}", path(&paper, &high), path(&paper, &back).trim_start_matches('M'));
        let name = escape(&one.name);
        push(
            &mut svg,
            &format!(
                r#"<path class="area s{}" d="{area} Z"><title>{name}</title></path>"#,
                one.colour
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Bars from the left, each with its name and number.
pub fn bars(items: &[(String, f64, String)], colour: u8) -> String {
    const ROW: f64 = 26.0;
    const NAMES: f64 = 240.0;
    const NUMBERS: f64 = 110.0;
    let most = ends(items.iter().map(|item| item.1)).map_or(1.0, |it| it.1).max(1e-9);
    let rows = f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX));
    let frame = Frame { height: rows * ROW + 6.0, ..Frame::default() };
    let mut svg = begin(&frame);
    let mut y = 4.0;
    for (name, value, text) in items {
        let width = value / most * (WIDTH - NAMES - NUMBERS);
        push(
            &mut svg,
            &format!(
                r#"<text class="name" x="{:.1}" y="{:.1}" text-anchor="end">{}</text><rect class="area s{colour}" x="{NAMES}" y="{y:.1}" width="{:.1}" height="18" rx="3"/><text class="tick" x="{:.1}" y="{:.1}">{}</text>"#,
                NAMES - 10.0,
                y + 13.5,
                escape(name),
                width.max(1.0),
                NAMES + width + 8.0,
                y + 13.5,
                escape(text)
            ),
        );
        y += ROW;
    }
    svg.push_str("</svg>");
    svg
}

/// What the colours mean, for under a plot.
pub fn legend(series: &[Series]) -> String {
    let mut html = String::from(r#"<p class="legend">"#);
    for one in series {
        push(
            &mut html,
            &format!(r#"<span><i class="s{}"></i>{}</span>"#, one.colour, escape(&one.name)),
        );
    }
    html.push_str("</p>");
    html
}

fn begin(frame: &Frame) -> String {
    const STYLE: &str = "<style>.grid{stroke:var(--grid,#e5e7eb);stroke-width:1}\
        .tick{fill:var(--faint,#6b7280);font:11px system-ui,sans-serif}\
        .name{fill:var(--ink,#111827);font:12px system-ui,sans-serif}\
        .mark{stroke:var(--faint,#6b7280);stroke-dasharray:4 4}\
        .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
        .s0{--c:var(--c0,#2563eb)}.s1{--c:var(--c1,#d97706)}.s2{--c:var(--c2,#059669)}\
        .s3{--c:var(--c3,#db2777)}.s4{--c:var(--c4,#7c3aed)}.s5{--c:var(--c5,#94a3b8)}\
        .line{stroke:var(--c)}.area{fill:var(--c)}</style>";
    let height = frame.height;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" role="img">{STYLE}"#
    )
}

fn path(paper: &Paper<'_>, points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (place, (x, y)) in points.iter().enumerate() {
        let pen = if place == 0 { 'M' } else { 'L' };
        push(&mut path, &format!("{pen}{:.1} {:.1}", paper.x(*x), paper.y(*y)));
    }
    path
}

fn push(text: &mut String, more: &str) {
    text.push_str(more);
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |ends, value| {
        let (least, most) = ends.unwrap_or((value, value));
        Some((f64::min(least, value), f64::max(most, value)))
    })
}

/// The next number whose quarters are round.
fn nice_end(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let step = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

fn shown(value: f64) -> String {
    if value >= 1000.0 {
        return format!("{}k", shown(value / 1000.0));
    }
    let digits = if value >= 10.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches(['0']).trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// For text and attributes of HTML and SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> Series {
        Series { name: "a<b".into(), colour: 0, points: points.to_vec() }
    }

    #[test]
    fn ends_are_round() {
        for (value, end) in
            [(0.0, 1.0), (0.3, 0.32), (7.0, 8.0), (41.0, 50.0), (100.0, 100.0), (120.0, 120.0)]
        {
            assert!((nice_end(value) - end).abs() < 1e-9, "{value}: {}", nice_end(value));
        }
    }

    #[test]
    fn levels_are_short() {
        for (value, text) in
            [(0.08, "0.08"), (2.5, "2.5"), (3.0, "3"), (40.0, "40"), (1600.0, "1.6k")]
        {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn values_stand_where_they_belong() {
        let frame = Frame::default();
        let paper = Paper::over(&frame, &[(0.0, 0.0), (10.0, 100.0)]);
        assert!((paper.x(0.0) - LEFT).abs() < 1e-9);
        assert!((paper.x(10.0) - (WIDTH - RIGHT)).abs() < 1e-9);
        assert!((paper.y(0.0) - (240.0 - BOTTOM)).abs() < 1e-9);
        assert!((paper.y(100.0) - TOP).abs() < 1e-9);
    }

    #[test]
    fn ten_times_as_much_is_one_step_up() {
        let frame = Frame { scale: Scale::Logarithmic, ..Frame::default() };
        let paper = Paper::over(&frame, &[(0.0, 1.0), (1.0, 1000.0)]);
        let step = paper.y(1.0) - paper.y(10.0);
        assert!((paper.y(10.0) - paper.y(100.0) - step).abs() < 1e-9);
        assert!(step > 10.0);
    }

    #[test]
    fn layers_stand_on_each_other() {
        let frame = Frame::default();
        let svg = stack(
            &frame,
            &[series(&[(0.0, 10.0), (1.0, 10.0)]), series(&[(0.0, 30.0), (1.0, 30.0)])],
        );
        // Together 40, the top of the paper.
        assert!(svg.contains(&format!("M{LEFT:.1} {TOP:.1}")), "{svg}");
    }

    #[test]
    fn a_figure_stands_by_itself() {
        let svg = figure("Memory & more", &Frame::default(), &[series(&[(0.0, 1.0), (1.0, 2.0)])]);
        assert!(svg.contains("Memory &amp; more") && svg.contains("a&lt;b"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        assert!(!svg.contains("href") && !svg.contains("url("));
    }

    #[test]
    fn names_cannot_break_the_page() {
        assert!(!lines(&Frame::default(), &[series(&[(0.0, 1.0)])]).contains("a<b"));
    }
}
