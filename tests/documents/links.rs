//! Links lead somewhere, and so do comments in the code that name a document. Addresses on the network are not asked.

use std::{fs, path::PathBuf};

use crate::{assert_none, at, markdown::*};

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut faults = Vec::new();
    for document in &documents {
        for link in document.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.beside(document.path.rsplit('/').next().unwrap_or_default()),
                file => document.beside(file),
            };
            let Ok(target) = target.canonicalize() else {
                faults.push(format!("{}: {link} leads to no file", document.path));
                continue;
            };
            let found = documents.iter().find(|other| at(&other.path) == target);
            let known = |other: &Document| other.anchors.iter().any(|known| known == anchor);
            if !anchor.is_empty() && !found.is_some_and(known) {
                faults.push(format!("{}: {link} leads to no heading", document.path));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_document_is_linked_to() {
    let documents = documents();
    let targets: Vec<_> = documents
        .iter()
        .flat_map(|document| {
            let files = document.links.iter().map(|link| link.split('#').next().unwrap_or_default());
            files.filter_map(|file| document.beside(file).canonicalize().ok()).collect::<Vec<_>>()
        })
        .collect();
    let lost: Vec<_> = documents
        .iter()
        .filter(|document| document.path != "README.md" && !targets.contains(&at(&document.path)))
        .map(|document| format!("no document links to {}", document.path))
        .collect();
    assert_none(&lost);
}

#[test]
fn every_section_that_a_comment_names_exists() {
    let (mut faults, mut named) = (Vec::new(), 0);
    let mut queue: Vec<PathBuf> = ["benches", "src", "tests"].iter().map(at).collect();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            queue.extend(fs::read_dir(&path).expect("sources").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with(file!()) {
            for (document, heading) in sections(&fs::read_to_string(&path).expect("text")) {
                named += 1;
                let exists = at(&document).exists();
                if !exists || !Document::read(&document).anchors.contains(&anchor(&heading)) {
                    faults.push(format!("{}: {document} has no \"{heading}\"", path.display()));
                }
            }
        }
    }
    assert!(named > 0, "the fold names the section on the lifecycle");
    assert_none(&faults);
}

/// Each `docs/….md, "Section"` in the comments of a file, also where it goes over the end of a line.
fn sections(source: &str) -> Vec<(String, String)> {
    let comments = source.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
    let text = comments.map(|line| line.trim_start_matches(['/', '!']).trim()).collect::<Vec<_>>().join(" ");
    let pieces: Vec<_> = text.split(", \"").collect();
    let pairs = pieces.windows(2).filter_map(|pair| {
        let document = pair[0].rsplit([' ', '(']).next()?;
        let heading = pair[1].split('"').next()?;
        document.ends_with(".md").then(|| (document.to_owned(), heading.to_owned()))
    });
    pairs.collect()
}

#[test]
fn a_section_is_found_in_a_comment() {
    let source = "/// Once (docs/money.md, \"Card limit\").\nlet x = 1;\n//! Twice: docs/frontend.md,\n//! \"Errors\".";
    let expected = [("docs/money.md", "Card limit"), ("docs/frontend.md", "Errors")];
    assert_eq!(
        sections(source),
        expected.map(|(document, heading)| (document.to_owned(), heading.to_owned()))
    );
}
