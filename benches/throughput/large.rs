//! Large files.

use std::fmt::Write as _;

use crate::{notes::words, uploads::Upload};

/// Characters of a line on a page.
const LINE: usize = 90;

/// Lines of a page.
const LINES: usize = 40;

/// A text of so many megabytes, in paragraphs.
pub(crate) fn text(megabytes: usize) -> Upload {
    let bytes = megabytes * 1_000_000;
    let mut text = String::with_capacity(bytes + 1_000);
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        words(&mut text, number, 900);
        text.push_str("\n\n");
    }
    Upload {
        name: "long.txt".to_owned(),
        bytes: text.into_bytes(),
    }
}

/// A PDF of so many pages of print.
pub(crate) fn pdf(pages: usize) -> Upload {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    let kids: Vec<String> = (0..pages).map(|n| format!("{} 0 R", 4 + 2 * n)).collect();
    let kids = kids.join(" ");
    objects.push(format!("<< /Type /Pages /Kids [{kids}] /Count {pages} >>"));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned());
    for page in 0..pages {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {} 0 R
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * page
        ));
        let mut content = "BT /F1 10 Tf 15 TL 50 750 Td".to_owned();
        for line in 0..LINES {
            content.push_str(" (");
            words(&mut content, page * LINES + line, LINE);
            content.push_str(") Tj T*");
        }
        content.push_str(" ET");
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
    }
    Upload {
        name: "long.pdf".to_owned(),
        bytes: file(&objects),
    }
}

/// The objects as a file, the first one as its root.
fn file(objects: &[String]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut starts = Vec::new();
    for (number, object) in (1..).zip(objects) {
        starts.push(file.len());
        file.extend(format!("{number} 0 obj\n{object}\nendobj\n").into_bytes());
    }
    let (table, size) = (file.len(), objects.len() + 1);
    let mut lines = format!("xref\n0 {size}\n0000000000 65535 f \n");
    for at in starts {
        // Writing to memory cannot fail.
        let _written = writeln!(lines, "{at:010} 00000 n ");
    }
    file.extend(lines.into_bytes());
    let root = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n");
    file.extend(root.into_bytes());
    file
}
