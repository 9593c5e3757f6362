//! Pure: the names that a file gets where a stranger's file has its own: `video3.h264`, `video3-2.h264`, `video3-3.h264`, …
//!
//! They come in this order always, so that a repeat ends at the same name.

/// A stranger who has taken so many names means it.
const LAST: u32 = 50;

/// The paths to try, `path` first.
pub fn candidates(path: &str) -> impl Iterator<Item = String> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    // `manifest.json.sealed` has its number before `.json`.
    let dot = path[name..].find('.').map_or(path.len(), |dot| name + dot);
    let (stem, extension) = path.split_at(dot);
    let numbered = (2..=LAST).map(move |number| format!("{stem}-{number}{extension}"));
    std::iter::once(path.to_owned()).chain(numbered)
}

/// The name that a file was meant to have, and which of [`candidates`] this one is, counted from 1.
pub fn meant(name: &str) -> (String, u32) {
    let (stem, extension) = name.split_at(name.find('.').unwrap_or(name.len()));
    let numbered = stem.rsplit_once('-').and_then(|(stem, number)| {
        let n = number.parse().ok().filter(|n| (2..=LAST).contains(n) && n.to_string() == number)?;
        Some((format!("{stem}{extension}"), n))
    });
    numbered.unwrap_or_else(|| (name.to_owned(), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_before_the_extensions() {
        let second = |path| candidates(path).nth(1);
        assert_eq!(candidates("/a.b/video3.h264").next().as_deref(), Some("/a.b/video3.h264"));
        assert_eq!(second("/a.b/video3.h264").as_deref(), Some("/a.b/video3-2.h264"));
        assert_eq!(second("/a.b/manifest.json.sealed").as_deref(), Some("/a.b/manifest-2.json.sealed"));
        assert_eq!(second("/a.b/plain").as_deref(), Some("/a.b/plain-2"));
        assert_eq!(candidates("/x").count(), 50);
    }

    #[test]
    fn a_name_tells_what_it_was_meant_to_be() {
        for (number, name) in (1..).zip(candidates("manifest.json.sealed")) {
            assert_eq!(meant(&name), ("manifest.json.sealed".to_owned(), number));
        }
        for name in [
            "video3-1.h264",
            "video3-02.h264",
            "video3-51.h264",
            "video3-.h264",
            "video3-+2.h264",
            "video3 (1).h264",
            "",
        ] {
            assert_eq!(meant(name), (name.to_owned(), 1));
        }
    }
}
