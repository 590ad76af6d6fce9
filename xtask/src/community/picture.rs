//! Pictures drawn as SVG: a scene a topic, in its colours, no two quite alike.

use std::fmt::Write as _;

use super::rng::Rng;

/// A picture of 320 x 180 as a data URI of at most 1.5 KiB.
///
/// `scene` names the drawing (unknown names get hills), `hues` are degrees.
pub(crate) fn data_uri(scene: &str, hues: &[f64], rng: &mut Rng) -> String {
    let mut canvas = Canvas::new(hues, rng);
    match scene {
        "pot" => canvas.pot(rng),
        "bike" => canvas.bike(rng),
        "sky" => canvas.sky(rng),
        "board" => canvas.board(rng),
        "wave" => canvas.wave(rng),
        "plant" => canvas.plant(rng),
        "city" => canvas.city(rng),
        "peaks" => canvas.peaks(rng),
        "pixels" => canvas.pixels(rng),
        "cat" => canvas.cat(rng),
        "train" => canvas.train(rng),
        "atom" => canvas.atom(rng),
        _ => canvas.hill(rng, 130.0, 0.35),
    }
    canvas.finish()
}

struct Canvas {
    svg: String,
    /// Main and second hue, degrees.
    hue: f64,
    other: f64,
}

impl Canvas {
    fn new(hues: &[f64], rng: &mut Rng) -> Self {
        let hue = hues.first().copied().unwrap_or(200.0) + rng.range(-14.0, 14.0);
        let other = hues
            .get(1 + rng.below(hues.len().saturating_sub(1)))
            .copied()
            .unwrap_or(hue);
        let mut canvas = Self {
            svg: String::with_capacity(900),
            hue,
            other,
        };
        let dark = rng.chance(0.4);
        let (top, bottom) = if dark { (0.16, 0.36) } else { (0.62, 0.86) };
        let (a, b) = (colour(hue, 0.5, top), colour(other, 0.55, bottom));
        let tilt = rng.below(2);
        canvas.add(format_args!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 320 180'>\
             <linearGradient id='g' x2='{tilt}' y2='1'><stop stop-color='{a}'/>\
             <stop offset='1' stop-color='{b}'/></linearGradient>\
             <path fill='url(#g)' d='M0 0h320v180H0z'/>"
        ));
        canvas
    }

    fn add(&mut self, piece: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.svg.write_fmt(piece);
    }

    fn circle(&mut self, x: f64, y: f64, r: f64, fill: &str) {
        self.add(format_args!(
            "<circle cx='{x:.0}' cy='{y:.0}' r='{r:.0}' fill='{fill}'/>"
        ));
    }

    fn path(&mut self, fill: &str, d: &str) {
        self.add(format_args!("<path fill='{fill}' d='{d}'/>"));
    }

    fn line(&mut self, stroke: &str, width: u32, d: &str) {
        self.add(format_args!(
            "<path fill='none' stroke='{stroke}' stroke-width='{width}' stroke-linecap='round' d='{d}'/>"
        ));
    }

    fn hill(&mut self, rng: &mut Rng, y: f64, light: f64) {
        let (a, b) = (y + rng.range(-25.0, 25.0), y + rng.range(-35.0, 20.0));
        let fill = colour(self.other, 0.4, light);
        self.path(
            &fill,
            &format!("M0 {y:.0}Q80 {a:.0} 160 {y:.0}T320 {b:.0}V180H0z"),
        );
    }

    fn sun(&mut self, rng: &mut Rng) {
        let (x, y) = (rng.range(40.0, 280.0), rng.range(25.0, 65.0));
        let fill = colour(rng.range(25.0, 58.0), 0.9, 0.75);
        self.circle(x, y, rng.range(12.0, 24.0), &fill);
    }

    fn pot(&mut self, rng: &mut Rng) {
        let body = colour(self.hue + 180.0 * rng.unit(), 0.55, rng.range(0.3, 0.5));
        let soup = colour(self.other, 0.8, 0.6);
        let x = rng.range(120.0, 200.0);
        for k in -1..=1 {
            let at = x + 28.0 * f64::from(k);
            let sway = rng.range(8.0, 18.0);
            self.line("#fffb", 5, &format!("M{at:.0} 74q{sway:.0}-14 0-26t0-24"));
        }
        self.path(
            &body,
            &format!("M{:.0} 92h140q-6 68-70 68t-70-68z", x - 70.0),
        );
        self.add(format_args!(
            "<ellipse cx='{x:.0}' cy='92' rx='70' ry='14' fill='{soup}'/>"
        ));
        for _ in 0..3 + rng.below(4) {
            let fill = colour(rng.range(0.0, 140.0), 0.7, 0.5);
            let (dx, dy) = (rng.range(-50.0, 50.0), rng.range(-6.0, 6.0));
            self.circle(x + dx, 92.0 + dy, rng.range(3.0, 7.0), &fill);
        }
    }

    fn bike(&mut self, rng: &mut Rng) {
        self.sun(rng);
        self.hill(rng, 110.0, 0.5);
        self.hill(rng, 145.0, 0.3);
        let frame = colour(rng.range(0.0, 360.0), 0.8, 0.6);
        let x = rng.range(70.0, 150.0);
        for wheel in [x, x + 92.0] {
            self.add(format_args!(
                "<circle cx='{wheel:.0}' cy='130' r='28' fill='none' stroke='#111' stroke-width='5'/>"
            ));
        }
        let d = format!(
            "M{x:.0} 130l28-42h44l-34 42zM{:.0} 130l-22-50h14m-64 8l-4-10h-8h16",
            x + 92.0
        );
        self.line(&frame, 5, &d);
    }

    fn sky(&mut self, rng: &mut Rng) {
        let night = colour(self.hue, 0.6, rng.range(0.1, 0.24));
        self.path(&night, "M0 0h320v180H0z");
        self.path(
            &colour(self.other, 0.5, 0.25),
            "M0 180V120Q160 80 320 120V180z",
        );
        let mut stars = String::new();
        for _ in 0..20 {
            let _ = write!(
                stars,
                "M{:.0} {:.0}h0",
                rng.range(0.0, 320.0),
                rng.range(0.0, 140.0)
            );
        }
        self.line("#fffc", 2, &stars);
        let (x, y) = (rng.range(60.0, 260.0), rng.range(35.0, 90.0));
        let glow = colour(self.other, 0.6, 0.8);
        match rng.below(3) {
            0 => {
                self.circle(x, y, 24.0, &glow);
                self.circle(x + 10.0, y - 5.0, 21.0, &night);
            }
            1 => {
                self.circle(x, y, 18.0, &glow);
                self.add(format_args!(
                    "<ellipse cx='{x:.0}' cy='{y:.0}' rx='38' ry='8' fill='none' stroke='#fec' \
                     stroke-width='3' transform='rotate(-18 {x:.0} {y:.0})'/>"
                ));
            }
            _ => self.line(&glow, 3, &format!("M{x:.0} {y:.0}l-70 34m120-60l-30 14")),
        }
        self.hill(rng, 150.0, 0.06);
    }

    fn board(&mut self, rng: &mut Rng) {
        let turn = rng.range(-9.0, 9.0);
        self.add(format_args!("<g transform='rotate({turn:.0} 160 90)'>"));
        for k in 0..3 {
            let y = 30.0 + 42.0 * f64::from(k);
            let fill = colour(self.hue, 0.45, rng.range(0.38, 0.6));
            self.path(&fill, &format!("M30 {y:.0}h260v38H30z"));
            let (a, b) = (rng.range(-10.0, 10.0), rng.range(4.0, 12.0));
            let grain = y + 18.0;
            self.line(
                "#0003",
                2,
                &format!("M36 {grain:.0}q60 {a:.0} 120 0t124 {b:.0}"),
            );
        }
        let x = rng.range(80.0, 230.0);
        self.add(format_args!(
            "<ellipse cx='{x:.0}' cy='92' rx='12' ry='7' fill='#0004'/></g>"
        ));
        let steel = colour(self.other, 0.1, 0.8);
        self.line(&steel, 7, &format!("M{:.0} 160l60-60", x - 40.0));
    }

    fn wave(&mut self, rng: &mut Rng) {
        let fill = colour(self.other + 40.0, 0.85, 0.7);
        let mut d = String::new();
        let (speed, shift) = (rng.range(0.25, 0.7), rng.range(0.0, 6.0));
        for k in 0..22 {
            let at = f64::from(k);
            let height =
                (10.0 + 55.0 * (at * speed + shift).sin().abs() * rng.range(0.5, 1.0)).round();
            let _ = write!(
                d,
                "M{:.0} {:.0}v{:.0}",
                24.0 + 13.0 * at,
                90.0 - height,
                2.0 * height
            );
        }
        self.line(&fill, 7, &d);
        if rng.chance(0.4) {
            self.circle(160.0, 90.0, 52.0, "#111");
            self.circle(160.0, 90.0, 18.0, &fill);
            self.circle(160.0, 90.0, 4.0, "#111");
        }
    }

    fn plant(&mut self, rng: &mut Rng) {
        self.sun(rng);
        self.hill(rng, 150.0, 0.25);
        for k in 0..2 + rng.below(3) {
            let x = 60.0 + 62.0 * k as f64 + rng.range(-8.0, 8.0);
            let top = rng.range(60.0, 110.0);
            let leaf = colour(self.hue + rng.range(-15.0, 15.0), 0.6, rng.range(0.3, 0.5));
            self.line(&leaf, 4, &format!("M{x:.0} 160V{top:.0}"));
            let (low, high) = (top + 30.0, top + 14.0);
            self.path(
                &leaf,
                &format!("M{x:.0} {low:.0}q-30-4-34-26q30 0 34 26M{x:.0} {high:.0}q28-4 32-24q-28 0-32 24"),
            );
            let bloom = colour(rng.range(-60.0, 60.0), 0.8, 0.6);
            self.circle(x, top, rng.range(5.0, 11.0), &bloom);
        }
    }

    fn city(&mut self, rng: &mut Rng) {
        self.sun(rng);
        let fill = colour(self.hue, 0.25, 0.16);
        let (mut x, mut d, mut lit) = (0.0, String::from("M0 180"), String::new());
        while x < 320.0 {
            let (width, top) = (
                rng.range(28.0, 60.0).round(),
                rng.range(60.0, 130.0).round(),
            );
            let _ = write!(d, "V{top:.0}h{width:.0}");
            if rng.chance(0.7) {
                let _ = write!(
                    lit,
                    "M{:.0} {:.0}h7v9h-7zm14 18h7v9h-7z",
                    x + 6.0,
                    top + 10.0
                );
            }
            x += width;
        }
        d.push_str("V180z");
        self.path(&fill, &d);
        self.path(&colour(self.other, 0.8, 0.7), &lit);
        if rng.chance(0.5) {
            self.line(
                "#fff9",
                4,
                "M20 40V20h20m240 0h20v20m0 100v20h-20m-240 0H20v-20",
            );
        }
    }

    fn peaks(&mut self, rng: &mut Rng) {
        self.sun(rng);
        for (y, light) in [(120.0, 0.55), (150.0, 0.35)] {
            let (x, top) = (rng.range(60.0, 240.0).round(), y - rng.range(60.0, 95.0));
            let fill = colour(self.hue, 0.25, light);
            let (left, right) = (x - 130.0, x + 120.0);
            self.path(
                &fill,
                &format!("M{left:.0} 180L{x:.0} {top:.0} {right:.0} 180z"),
            );
            self.path(
                "#fffd",
                &format!("M{x:.0} {top:.0}l-18 20 10-3 8 7 9-6 9 4z"),
            );
        }
        let x = rng.range(90.0, 220.0);
        let rope = colour(self.other + 180.0, 0.9, 0.6);
        self.line(&rope, 3, &format!("M{x:.0} 178l-14-26 18-20-6-24 16-22"));
        self.circle(x + 14.0, 84.0, 5.0, &rope);
    }

    fn pixels(&mut self, rng: &mut Rng) {
        let colours = [
            colour(self.other, 0.85, 0.6),
            colour(self.hue + 120.0, 0.8, 0.65),
        ];
        for fill in &colours {
            let mut d = String::new();
            for y in 0..7 {
                for x in 0..4 {
                    if rng.chance(0.33) {
                        let (left, right, top) = (104 + 16 * x, 200 - 16 * x, 34 + 16 * y);
                        let _ = write!(d, "M{left} {top}h16v16h-16z");
                        if left != right {
                            let _ = write!(d, "M{right} {top}h16v16h-16z");
                        }
                    }
                }
            }
            self.path(fill, &d);
        }
        self.line("#fff5", 3, "M20 160h60m24 0h40m24 0h130");
    }

    fn cat(&mut self, rng: &mut Rng) {
        let fur = colour(
            self.hue + rng.range(-20.0, 20.0),
            rng.range(0.1, 0.6),
            rng.range(0.25, 0.6),
        );
        let x = rng.range(110.0, 210.0);
        if rng.chance(0.5) {
            self.path(&fur, &format!("M{:.0} 40l30 24h34l30-24v60h-94z", x - 47.0));
        } else {
            self.add(format_args!(
                "<ellipse cx='{:.0}' cy='88' rx='18' ry='40' fill='#0006'/>\
                 <ellipse cx='{:.0}' cy='88' rx='18' ry='40' fill='#0006'/>",
                x - 50.0,
                x + 50.0
            ));
        }
        self.circle(x, 100.0, 50.0, &fur);
        let eye = colour(self.other, 0.8, 0.7);
        for side in [-18.0, 18.0] {
            self.circle(x + side, 92.0, 8.0, &eye);
            self.circle(x + side + rng.range(-2.0, 2.0), 92.0, 4.0, "#111");
        }
        self.path("#e78", &format!("M{x:.0} 116l-7-8h14z"));
        self.line(
            "#1119",
            2,
            &format!("M{x:.0} 116v6m-34-8h-26m0 10l26-4m68-6h26m0 10l-26-4"),
        );
        self.path(&fur, &format!("M{:.0} 180q6-44 60-44t60 44z", x - 60.0));
    }

    fn train(&mut self, rng: &mut Rng) {
        self.sun(rng);
        self.hill(rng, 100.0, 0.5);
        self.hill(rng, 128.0, 0.32);
        let body = colour(rng.range(0.0, 360.0), 0.6, 0.45);
        let x = rng.range(20.0, 110.0);
        self.path(&body, &format!("M{x:.0} 98h128q34 4 44 46h-172z"));
        self.path(
            "#fffb",
            &format!(
                "M{:.0} 108h22v14h-22zm32 0h22v14h-22zm32 0h22v14h-22zm34 0h16l10 14h-26z",
                x + 8.0
            ),
        );
        self.path(
            &colour(self.other, 0.8, 0.7),
            &format!("M{x:.0} 130h168v5H{x:.0}z"),
        );
        self.line("#222", 4, "M0 150h320");
        self.line(
            "#2228",
            3,
            "M10 158h12m20 0h12m20 0h12m20 0h12m20 0h12m20 0h12m20 0h12m20 0h12m20 0h12m20 0h12",
        );
    }

    fn atom(&mut self, rng: &mut Rng) {
        let (x, y) = (rng.range(120.0, 200.0), rng.range(80.0, 100.0));
        let ring = colour(self.other, 0.7, rng.range(0.55, 0.75));
        let start = rng.range(0.0, 60.0);
        for k in 0..2 + rng.below(3) {
            let turn = start + 60.0 * k as f64;
            self.add(format_args!(
                "<g transform='rotate({turn:.0} {x:.0} {y:.0})'><ellipse cx='{x:.0}' cy='{y:.0}' \
                 rx='86' ry='28' fill='none' stroke='{ring}' stroke-width='4'/>"
            ));
            let side = if rng.chance(0.5) { 86.0 } else { -86.0 };
            self.circle(x + side, y, 7.0, "#fff");
            self.svg.push_str("</g>");
        }
        let core = colour(self.hue + 160.0, 0.8, 0.6);
        self.circle(x, y, rng.range(11.0, 19.0), &core);
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        let mut uri = String::with_capacity(self.svg.len() * 5 / 4);
        uri.push_str("data:image/svg+xml,");
        for c in self.svg.chars() {
            match c {
                '<' => uri.push_str("%3C"),
                '>' => uri.push_str("%3E"),
                '#' => uri.push_str("%23"),
                '%' => uri.push_str("%25"),
                '"' => uri.push_str("%22"),
                c => uri.push(c),
            }
        }
        uri
    }
}

/// `#rgb` of hue (degrees), saturation and lightness (0 to 1).
fn colour(hue: f64, saturation: f64, lightness: f64) -> String {
    let chroma = saturation * lightness.min(1.0 - lightness);
    let channel = |n: f64| {
        let k = (n + hue.rem_euclid(360.0) / 30.0) % 12.0;
        let value = lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 15.0).round() as u8
    };
    format!("#{:x}{:x}{:x}", channel(0.0), channel(8.0), channel(4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENES: [&str; 13] = [
        "pot", "bike", "sky", "board", "wave", "plant", "city", "peaks", "pixels", "cat", "train",
        "atom", "unknown",
    ];

    #[test]
    fn pictures_are_small_and_differ() {
        let mut rng = Rng::new(2);
        for scene in SCENES {
            let pictures: Vec<_> = (0..300)
                .map(|_| data_uri(scene, &[20.0, 200.0, 90.0], &mut rng))
                .collect();
            let longest = pictures.iter().map(String::len).max();
            assert!(longest <= Some(1536), "{scene}: {longest:?}");
            assert!(
                pictures
                    .iter()
                    .all(|uri| !uri.contains("NaN") && uri.ends_with("/svg%3E"))
            );
            assert_ne!(pictures[0], pictures[1], "{scene}");
        }
    }

    #[test]
    fn colours_are_colours() {
        assert_eq!(colour(0.0, 1.0, 0.5), "#f00");
        assert_eq!(colour(120.0, 1.0, 0.5), "#0f0");
        assert_eq!(colour(240.0 - 360.0, 1.0, 0.5), "#00f");
        assert_eq!(colour(77.0, 0.0, 1.0), "#fff");
    }
}
