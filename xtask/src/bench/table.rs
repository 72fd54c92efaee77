//! Figures side by side, as Markdown.

use super::{Column, Figure};

/// Median and 99th percentile in milliseconds; what is not of time says its unit.
pub fn of(columns: &[Column]) -> String {
    let Some(first) = columns.first() else { return String::new() };
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let header = ["ms: median, p99".to_owned()].into_iter().chain(columns.iter().map(|column| column.name.clone()));
    let mut table = row(header.collect());
    table += &row(vec!["---".to_owned(); columns.len() + 1]);
    for Figure { what, unit, .. } in &first.figures {
        let unit = if matches!(unit.as_str(), "ms" | "") { String::new() } else { format!(", {unit}") };
        let cells = columns.iter().map(|column| column.figure(what).map_or("–".into(), cell));
        table += &row([format!("{what}{unit}")].into_iter().chain(cells).collect());
    }
    table
}

fn cell(figure: &Figure) -> String {
    let median = number(figure.median);
    figure.p99.map_or(median.clone(), |p99| format!("{median}, {}", number(p99)))
}

/// Two digits that count.
fn number(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0..100.0 => format!("{number:.1}"),
        1.0..10.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_side_by_side_by_what_was_measured() {
        let figure = |what: &str, unit: &str, median, p99| Figure { what: what.into(), unit: unit.into(), median, p99 };
        let columns = [
            Column {
                name: "tract".into(),
                figures: vec![figure("a bar", "ms", 95.4, Some(180.2)), figure("memory", "MB", 150.0, None)],
            },
            Column {
                name: "other".into(),
                figures: vec![figure("more", "ms", 1.0, None), figure("a bar", "ms", 0.3514, Some(4.126))],
            },
        ];
        let expected = "\
| ms: median, p99 | tract | other |
| --- | --- | --- |
| a bar | 95.4, 180 | 0.351, 4.13 |
| memory, MB | 150 | – |
";
        assert_eq!(of(&columns), expected);
        assert_eq!(of(&[]), "");
    }
}
