//! What is read from Usher's metrics.

/// One metric's value, summed over its labels; 0 where it was not told yet.
pub(crate) fn metric(text: &str, name: &str) -> f64 {
    let of_name =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_over_nothing_else() {
        let text =
            "# HELP a_total x\na_total{of=\"1\"} 2\na_total{of=\"2\"} 3.5\na_total_more 100\nb 7\n";
        assert!((metric(text, "a_total") - 5.5).abs() < 1e-9);
        assert!((metric(text, "b") - 7.0).abs() < 1e-9);
        assert!(metric(text, "c").abs() < 1e-9);
    }
}
