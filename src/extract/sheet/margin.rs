//! Headers and footers of sheets.

/// A header or footer without its codes for fonts; parts with running numbers, dates and names of files say nothing.
pub(super) fn margin(codes: &str) -> String {
    let mut parts = vec![String::new()];
    let mut running = false;
    let mut chars = codes.chars().peekable();
    while let Some(c) = chars.next() {
        let (Some(part), true) = (parts.last_mut(), c == '&') else {
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
            continue;
        };
        match chars.next() {
            Some('L' | 'C' | 'R') => {
                if std::mem::take(&mut running) {
                    part.clear();
                }
                parts.push(String::new());
            }
            Some('P' | 'N' | 'D' | 'T' | 'F' | 'A' | 'Z') => running = true,
            Some('&') => part.push('&'),
            Some('"') => chars.by_ref().take_while(|c| *c != '"').for_each(drop),
            Some('K') => chars.by_ref().take(6).for_each(drop),
            Some('0'..='9') => while chars.next_if(char::is_ascii_digit).is_some() {},
            _ => {}
        }
    }
    if running {
        parts.pop();
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_running_numbers_are_no_text() {
        for (codes, text) in [
            (
                "&L&\"Arial,Bold\"&14Station north&CPage &P of &N&RR&&D",
                "Station north\nR&D",
            ),
            ("&Kff0000Red &Bbold", "Red bold"),
            ("&P", ""),
            ("&", ""),
            ("&\"open", ""),
        ] {
            assert_eq!(margin(codes), text, "{codes}");
        }
    }
}
