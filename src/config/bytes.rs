//! Amounts of storage as people write them: `20 GB`.

/// Units in the order they are offered in messages; the decimal ones are those that disks are sold by.
const UNITS: [(&str, u64); 7] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("TB", 1_000_000_000_000),
    ("kB", 1_000),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("TiB", 1 << 40),
];

/// Bytes of a number with a unit, such as `20 GB`, `1.5 TB` or `512 MiB`.
///
/// # Errors
/// One sentence with the remedy.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let Ok(number) = number.parse::<f64>() else {
        return Err("must be a number and a unit, for example \"20 GB\"".to_owned());
    };
    let unit = unit.trim();
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        let known = UNITS.map(|(name, _)| name).join(", ");
        return Err(match unit {
            "" => format!("the unit is missing: write one of {known} after the number"),
            _ => format!("'{unit}' is not a unit: write one of {known}"),
        });
    };
    // A float is exact far beyond the size of any disk; the cast of a larger one saturates.
    Ok((number * *factor as f64) as u64)
}

/// The shortest text that [`parse`] reads as this number of bytes or a little less.
pub fn show(bytes: u64) -> String {
    let (name, factor) = match bytes {
        0..1_000_000 => ("kB", 1e3),
        1_000_000..1_000_000_000 => ("MB", 1e6),
        1_000_000_000..1_000_000_000_000 => ("GB", 1e9),
        _ => ("TB", 1e12),
    };
    format!("{} {name}", (bytes as f64 / factor * 100.0).floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        for (text, bytes) in [
            ("20 GB", 20_000_000_000),
            ("20GB", 20_000_000_000),
            ("1.5 tb", 1_500_000_000_000),
            (" 512 MiB ", 512 << 20),
            ("2 GiB", 2 << 30),
            ("900 kB", 900_000),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_remedy() {
        for (text, says) in [
            ("", "for example"),
            ("GB", "for example"),
            ("-1 GB", "for example"),
            ("1.2.3 GB", "for example"),
            ("20", "unit is missing"),
            ("20 gigs", "'gigs' is not a unit"),
            ("20 € ", "'€' is not a unit"),
        ] {
            let fault = parse(text).expect_err(text);
            assert!(fault.contains(says), "{text}: {fault}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for bytes in [900_000, 1_000_000, 20_000_000_000, 1_500_000_000_000] {
            assert_eq!(parse(&show(bytes)), Ok(bytes));
        }
        assert_eq!(show(2 << 30), "2.14 GB");
    }
}
