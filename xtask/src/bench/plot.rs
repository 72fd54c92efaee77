//! How long a bar takes, engine by engine and backend by backend, beside DeepComposer's networks.

use super::Column;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

/// A row of the picture.
struct Row {
    /// As the figure is called.
    what: &'static str,
    shown: &'static str,
    /// In milliseconds, for ONNX Runtime in eight bits on one thread.
    aim: Option<f64>,
}

const ROWS: [Row; 6] = [
    Row { what: "accompanist: a bar, arranging", shown: "accompanist, a bar", aim: Some(25.0) },
    Row { what: "GAN: four bars, the network alone", shown: "GAN, four bars", aim: Some(4.0) },
    Row { what: "enhancer: a bar, 8 passes", shown: "enhancer, a bar", aim: Some(60.0) },
    Row { what: "extender: a bar", shown: "extender, a bar", aim: None },
    Row { what: "DeepComposer's GAN: two bars", shown: "their GAN, two bars", aim: None },
    Row { what: "DeepComposer's AR-CNN: an edit of a hundred passes", shown: "their AR-CNN, an edit", aim: None },
];

const COLOURS: [RGBColor; 5] = [
    RGBColor(190, 120, 40),
    RGBColor(130, 165, 210),
    RGBColor(40, 90, 160),
    RGBColor(150, 200, 150),
    RGBColor(50, 130, 60),
];
const AIM: RGBColor = RGBColor(120, 120, 120);

/// # Errors
/// When the file cannot be written.
pub fn draw(columns: &[Column], file: &Path) -> Result<()> {
    // Its errors borrow from the picture.
    picture(columns, file).map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))
}

fn picture(columns: &[Column], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(file, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let rows = ROWS.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption("How long an answer takes: median, and to the 99th percentile", ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(40)
        .y_label_area_size(150)
        .build_cartesian_2d((1.0..100_000.0).log_scale(), (rows - 0.5)..-0.5)?;
    let name = |row: &f64| {
        let whole = (row - row.round()).abs() < 1e-6 && *row >= 0.0;
        ROWS.get(row.round() as usize).filter(|_| whole).map_or_else(String::new, |row| row.shown.into())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(2 * ROWS.len())
        .y_label_formatter(&name)
        .x_label_formatter(&|milliseconds| format!("{milliseconds}"))
        .x_desc("milliseconds")
        .draw()?;
    for (index, column) in columns.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let aside = (index as f64 - (columns.len() - 1) as f64 / 2.0) * 0.7 / columns.len().max(1) as f64;
        let found = ROWS.iter().enumerate().filter_map(|(at, row)| Some((at as f64 + aside, column.figure(row.what)?)));
        let found: Vec<(f64, f64, f64)> =
            found.map(|(at, figure)| (at, figure.median, figure.p99.unwrap_or(figure.median))).collect();
        let lines = found
            .iter()
            .map(|(at, median, p99)| PathElement::new([(*median, *at), (*p99, *at)], colour.stroke_width(2)));
        chart.draw_series(lines)?;
        let dots = found.iter().map(|(at, median, _)| Circle::new((*median, *at), 4, colour.filled()));
        let series = chart.draw_series(dots)?;
        series.label(column.name.as_str()).legend(move |(x, y)| Circle::new((x + 9, y), 4, colour.filled()));
    }
    let aims = ROWS.iter().enumerate().filter_map(|(at, row)| Some((at as f64, row.aim?)));
    let aims = aims.map(|(at, aim)| PathElement::new([(aim, at - 0.4), (aim, at + 0.4)], AIM.stroke_width(2)));
    let series = chart.draw_series(aims)?;
    series.label("aim").legend(|(x, y)| PathElement::new([(x + 9, y - 6), (x + 9, y + 6)], AIM.stroke_width(2)));
    chart.configure_series_labels().position(SeriesLabelPosition::UpperRight).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Figure;
    use super::*;

    #[test]
    fn what_was_measured_is_in_the_picture() {
        let figure = |row: &Row| Figure { what: row.what.into(), unit: "ms".into(), median: 20.0, p99: Some(40.0) };
        let column = |name: &str| Column { name: name.into(), figures: ROWS.iter().map(figure).collect() };
        let file = std::env::temp_dir().join(format!("obbligato-plot-{}.svg", std::process::id()));
        draw(&[column("tract"), column("ONNX Runtime")], &file).expect("the temporary folder is writable");
        let picture = std::fs::read_to_string(&file).expect("it was written");
        std::fs::remove_file(&file).expect("it was written");
        for row in &ROWS {
            assert!(picture.contains(row.shown), "{}", row.shown);
        }
        // Two for each row, and one each in the legend.
        assert_eq!(picture.matches("<circle").count(), 2 * ROWS.len() + 2);
    }
}
