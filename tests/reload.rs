//! `--reload`'s watching: what counts as a change, however an editor saves it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chaussette::config::pattern;
use chaussette::reload::{Changes, Made, Sources, watch};
use tokio::time::timeout;

/// How long a change may take to be told: it takes about 100 ms, and machines are busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of one test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reload-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A module in a folder, written before anybody watches.
fn module(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, "value = 1\n").unwrap();
    path
}

fn made(files: &[&PathBuf]) -> Made {
    let files = files.iter().map(|file| (*file).clone()).collect();
    Made { since: SystemTime::now() + Duration::from_secs(3600), files, folders: Vec::new() }
}

/// Runs `work` on a reactor, with a watch of `include` that knows `files`.
fn watching<F: Future<Output = ()>>(
    include: &[&str],
    files: &[&PathBuf],
    work: impl FnOnce(Sources, Changes) -> F,
) {
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    reactor.block_on(async {
        let patterns: Vec<_> = include.iter().map(|text| pattern(text).unwrap()).collect();
        let (sources, mut changes) = watch(&patterns).unwrap();
        sources.made(made(files));
        // What is to be watched is taken in by whoever waits for changes.
        assert!(timeout(Duration::from_millis(1), changes.next()).await.is_err());
        work(sources, changes).await;
    });
}

async fn next(changes: &mut Changes) -> Vec<PathBuf> {
    timeout(PATIENCE, changes.next()).await.expect("a change is told")
}

/// What is told when one file has changed.
fn one(path: &Path) -> Vec<PathBuf> {
    vec![path.to_path_buf()]
}

/// Nothing that happened until now counts: the next thing that is told is what is saved now.
async fn only_then(changes: &mut Changes, path: &PathBuf) {
    fs::write(path, "value = 3\n").unwrap();
    assert_eq!(next(changes).await, one(path));
}

#[test]
fn a_file_that_is_written_in_place_has_changed() {
    let folder = folder("in-place");
    let file = module(&folder, "app.py");
    watching(&[], &[&file], async |_, mut changes| {
        fs::write(&file, "value = 2\n").unwrap();
        assert_eq!(next(&mut changes).await, one(&file));
        // And again: the watch stays.
        only_then(&mut changes, &file).await;
    });
}

#[test]
fn a_file_that_is_renamed_over_has_changed_again_and_again() {
    let folder = folder("renamed");
    let file = module(&folder, "app.py");
    watching(&[], &[&file], async |_, mut changes| {
        for _ in 0..3 {
            let draft = folder.join(".app.py.tmp");
            fs::write(&draft, "value = 2\n").unwrap();
            fs::rename(&draft, &file).unwrap();
            assert_eq!(next(&mut changes).await, one(&file));
        }
    });
}

#[test]
fn a_file_that_is_moved_aside_and_written_anew_has_changed_once() {
    let folder = folder("backup");
    let file = module(&folder, "app.py");
    watching(&[], &[&file], async |_, mut changes| {
        // As vim does with 'backupcopy=no'.
        fs::write(folder.join("4913"), "").unwrap();
        fs::remove_file(folder.join("4913")).unwrap();
        fs::rename(&file, folder.join("app.py~")).unwrap();
        fs::write(&file, "value = 2\n").unwrap();
        fs::remove_file(folder.join("app.py~")).unwrap();
        assert_eq!(next(&mut changes).await, one(&file));
    });
}

#[test]
fn several_files_that_are_saved_together_are_told_together() {
    let folder = folder("together");
    let files = ["a.py", "b.py", "c.py"].map(|name| module(&folder, name));
    watching(&[], &[&files[0], &files[1], &files[2]], async |_, mut changes| {
        for file in &files {
            fs::write(file, "value = 2\n").unwrap();
        }
        assert_eq!(next(&mut changes).await, files);
    });
}

#[test]
fn reading_modes_caches_and_editors_own_files_are_no_change() {
    let folder = folder("noise");
    let file = module(&folder, "app.py");
    fs::create_dir(folder.join("__pycache__")).unwrap();
    watching(&[], &[&file], async |_, mut changes| {
        fs::read(&file).unwrap();
        let mut mode = fs::metadata(&file).unwrap().permissions();
        for readonly in [true, false] {
            mode.set_readonly(readonly);
            fs::set_permissions(&file, mode.clone()).unwrap();
        }
        fs::write(folder.join("__pycache__/app.cpython-313.pyc"), "cache").unwrap();
        for name in [".app.py.swp", ".#app.py", "#app.py#", "app.py~", "notes.txt", "db.sqlite3"] {
            fs::write(folder.join(name), "noise").unwrap();
        }
        only_then(&mut changes, &file).await;
    });
}

#[test]
fn a_module_that_is_not_imported_yet_counts_beside_one_that_is() {
    let folder = folder("beside");
    let file = module(&folder, "urls.py");
    watching(&[], &[&file], async |_, mut changes| {
        let views = module(&folder, "views.py");
        assert_eq!(next(&mut changes).await, [views]);
    });
}

#[test]
fn a_file_that_was_saved_before_it_was_watched_has_changed() {
    let folder = folder("early");
    let file = module(&folder, "app.py");
    watching(&[], &[], async |sources, mut changes| {
        sources.made(Made { since: SystemTime::UNIX_EPOCH, files: one(&file), folders: Vec::new() });
        assert_eq!(next(&mut changes).await, one(&file));
    });
}

#[test]
fn what_is_known_is_watched_on_after_a_load_that_knows_less() {
    let folder = folder("less");
    let (app, broken) = (module(&folder, "app.py"), module(&folder.join("."), "broken.txt"));
    watching(&[], &[&app, &broken], async |sources, mut changes| {
        sources.made(made(&[&app]));
        only_then(&mut changes, &broken).await;
    });
}

#[test]
fn a_folder_of_modules_that_is_replaced_is_watched_again() {
    let root = folder("checkout");
    let package = root.join("package");
    fs::create_dir(&package).unwrap();
    let (app, file) = (module(&root, "app.py"), module(&package, "part.py"));
    watching(&[], &[&app, &file], async |_, mut changes| {
        fs::remove_dir_all(&package).unwrap();
        assert!(next(&mut changes).await.contains(&file));
        fs::create_dir(&package).unwrap();
        assert_eq!(next(&mut changes).await, one(&package));
        only_then(&mut changes, &file).await;
    });
}

#[test]
fn patterns_name_further_files() {
    let root = folder("patterns");
    let deep = root.join("templates/blog/parts");
    fs::create_dir_all(&deep).unwrap();
    let plain = format!("{}/*.yaml", root.display());
    let any = format!("{}/./templates/**/*.html", root.display());
    watching(&[&plain, &any], &[], async |_, mut changes| {
        fs::write(root.join("site.yml"), "").unwrap();
        fs::write(deep.join("list.txt"), "").unwrap();
        fs::write(root.join("templates/site.yaml"), "").unwrap();
        only_then(&mut changes, &root.join("site.yaml")).await;
        only_then(&mut changes, &deep.join("list.html")).await;
        only_then(&mut changes, &root.join("templates/base.html")).await;
    });
}

#[test]
fn a_pattern_reaches_folders_that_are_made_later() {
    let root = folder("later");
    let any = format!("{}/**/*.html", root.display());
    watching(&[&any], &[], async |_, mut changes| {
        let page = root.join("new/page.html");
        fs::create_dir(root.join("new")).unwrap();
        // Whether the file or its folder is watched first is the kernel's affair, so it is saved until it is told.
        let told = async {
            loop {
                fs::write(&page, "x").unwrap();
                if let Ok(told) = timeout(Duration::from_millis(500), changes.next()).await {
                    return told;
                }
            }
        };
        assert_eq!(timeout(PATIENCE, told).await.expect("a change is told"), one(&page));
    });
}
