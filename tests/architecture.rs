//! The house rules that a program can check: who may name what (docs/design.md).

use std::fs;
use std::path::{Path, PathBuf};

/// Every .rs file under src with its path relative to src.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("src can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 20, "src was not found");
    let relative =
        |path: &PathBuf| path.strip_prefix(&root).expect("under src").to_string_lossy().into_owned();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).expect("readable"))).collect()
}

/// Lines of code, without comments and without what follows the unit tests' door.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"))
}

/// Fails with every line outside `rooms` that has one of `words`.
fn only_in(rooms: &[&str], words: &[&str]) {
    let mut leaks = Vec::new();
    for (path, text) in sources() {
        if rooms.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        for (number, line) in code(&text) {
            if words.iter().any(|word| line.contains(word)) {
                leaks.push(format!("src/{path}:{number}: {line}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{words:?} named outside {rooms:?}:\n{}", leaks.join("\n"));
}

#[test]
fn only_the_front_end_names_hyper() {
    only_in(&["http/"], &["hyper::", "hyper_util::"]);
}

#[test]
fn only_interp_names_the_c_api() {
    only_in(&["interp/"], &["pyo3_ffi::", "libc::"]);
}

#[test]
fn version_differences_live_in_one_module_of_rust_and_one_of_python() {
    only_in(
        &["interp/version.rs", "interp/ffi.rs"],
        &["Py_Version", "PY_VERSION_HEX", "cfg(Py_", "_is_gil_enabled"],
    );
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/python/chaussette");
    let mut folders = vec![package];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the package can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "py")
                && !path.ends_with("_cpython.py")
            {
                let text = fs::read_to_string(&path).expect("readable");
                for word in ["version_info", "hexversion", "_is_gil_enabled", "Py_GIL_DISABLED"] {
                    assert!(!text.contains(word), "{} asks for {word}", path.display());
                }
            }
        }
    }
}

#[test]
fn only_the_pymodule_names_pyo3() {
    only_in(&["pymodule"], &["pyo3::"]);
}

#[test]
fn worker_processes_know_neither_the_reactor_nor_python() {
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("process/")) {
        for (number, line) in code(&text) {
            let foreign = ["tokio", "hyper", "pyo3", "crate::http", "crate::wsgi", "crate::interp"]
                .iter()
                .any(|word| line.contains(word));
            assert!(!foreign, "src/{path}:{number}: {line}");
        }
    }
}

#[test]
fn nobody_uses_the_gil_state_api() {
    only_in(&[], &["PyGILState_"]);
}

#[test]
fn unsafe_has_two_doors() {
    only_in(&["interp/", "listener"], &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]);
}

#[test]
fn only_the_command_line_and_the_access_log_print_to_stdout() {
    only_in(&["cli", "access/output.rs"], &["println!", "print!(", "stdout()"]);
}

#[test]
fn the_waist_and_the_bell_import_nothing_of_the_halves() {
    for (path, text) in sources() {
        if !path.starts_with("exchange/") && path != "bell.rs" {
            continue;
        }
        for (number, line) in code(&text) {
            let foreign = line.contains("crate::")
                && !line.contains("crate::bell")
                && !line.contains("crate::exchange");
            assert!(!foreign, "src/{path}:{number}: {line}");
        }
    }
}

#[test]
fn interp_imports_nothing_of_ours() {
    for (path, text) in sources() {
        if path.starts_with("interp/") {
            for (number, line) in code(&text) {
                let ours = line.contains("crate::") && !line.contains("crate::interp");
                assert!(!ours, "src/{path}:{number}: {line}");
            }
        }
    }
}

#[test]
fn no_file_has_more_than_400_lines_of_code() {
    for (path, text) in sources() {
        let lines = code(&text).count();
        assert!(lines <= 400, "src/{path}: {lines} lines of code: split it");
    }
}

#[test]
fn every_file_opens_with_its_contract() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "src/{path} does not open with its contract");
    }
}

#[test]
fn cargo_and_python_know_the_same_version() {
    let pyproject =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/pyproject.toml")).expect("readable");
    assert!(pyproject.contains(&format!("version = \"{}\"", chaussette::config::VERSION)));
    let cargo = env!("CARGO_PKG_VERSION").replace("-alpha.", "a");
    assert_eq!(cargo, chaussette::config::VERSION);
}

/// The last cells of a document's tables, each with its line's number; headings and rulers left out.
fn last_cells(document: &str) -> Vec<(usize, &str)> {
    let rows = document.lines().enumerate().filter(|(_, line)| line.starts_with('|'));
    let cells = rows.filter_map(|(number, line)| {
        line.trim_end_matches('|').rsplit_once('|').map(|(_, cell)| (number + 1, cell.trim()))
    });
    cells.filter(|(_, cell)| !["test", "rows"].contains(cell) && !cell.starts_with("---")).collect()
}

/// The Python files of a folder and their text, joined.
fn python(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).expect("a folder of tests").map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .map(|path| {
            format!("def {}(\n{}", path.file_stem().unwrap().display(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn every_clause_of_pep_3333_names_tests_that_exist() {
    let document =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/wsgi.md")).expect("readable");
    let cells = last_cells(&document);
    assert!(cells.len() > 80, "{} rows", cells.len());
    let (tests, rows) = (python("python_tests"), python("python_tests/apps"));
    let units: String = sources().into_iter().map(|(_, text)| text).collect();
    for (number, cell) in cells {
        let words = cell.split(|c: char| !(c.is_ascii_alphanumeric() || "_*`".contains(c)));
        let names: Vec<_> = words.filter(|word| word.contains('_') || word.starts_with('`')).collect();
        assert!(!names.is_empty(), "docs/wsgi.md:{number}: no test");
        for name in names {
            let known = match name.strip_prefix('`') {
                Some(row) => {
                    let row = row.trim_matches(['`', '*']);
                    // A name may be put together in a loop: then its beginning stands before `{name}`.
                    let mut starts = row.match_indices('_').map(|(place, _)| &row[..=place]);
                    rows.contains(row) || starts.any(|start| rows.contains(&format!("\"{start}{{name}}")))
                }
                None => tests.contains(&format!("def {name}(")) || units.contains(&format!("fn {name}()")),
            };
            assert!(known, "docs/wsgi.md:{number}: there is no {name}");
        }
    }
}
