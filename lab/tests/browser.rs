//! A report in a real browser: Chromium loads it from disk, finds nothing wrong with it, asks no network for anything, and shows every figure.
//! Without a Chromium on the PATH this is skipped, and says so; with REQUIRE_ALL=1 it fails instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "../examples/demo/mod.rs"]
mod demo;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

/// `None`, told aloud: there is none, and none is required.
fn browser_or_skip() -> Option<PathBuf> {
    let found = browser();
    if found.is_none() {
        assert!(
            std::env::var("REQUIRE_ALL").as_deref() != Ok("1"),
            "REQUIRE_ALL=1, but there is none of {NAMES:?} on the PATH"
        );
        println!("SKIPPED: there is none of {NAMES:?} on the PATH");
    }
    found
}

fn load(browser: &Path, profile: &Path, page: &Path) -> Output {
    Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--disable-default-apps",
            "--enable-logging=stderr",
            "--v=0",
        ])
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--log-net-log={}", profile.join("net.json").display()))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("the browser starts")
}

#[test]
fn a_report_loads_from_disk_with_all_its_figures_and_without_a_word_to_the_console_or_the_network() {
    let Some(browser) = browser_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let report = demo::report();
    driftkv_lab::report::write(directory.path(), &report).unwrap();
    let profile = directory.path().join("profile");
    std::fs::create_dir(&profile).unwrap();
    let Output { status, stdout, stderr } = load(&browser, &profile, &directory.path().join("report.html"));
    let (dom, log) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{log}");
    assert_eq!(dom.matches("<svg ").count(), report.figures.len());
    assert_eq!(dom.matches("<details>").count(), report.figures.len());
    assert!(dom.contains("</main>") && dom.contains(&report.title), "{dom:.300}");
    let said: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(said.is_empty(), "{said:?}");
    let asked = requests(&std::fs::read_to_string(profile.join("net.json")).unwrap_or_default());
    assert!(asked.iter().all(|url| is_browsers_own(url)), "{asked:?}");
}

/// The addresses in a log of the network.
fn requests(log: &str) -> Vec<String> {
    let urls = log.split("\"url\":\"").skip(1).filter_map(|after| after.split('"').next());
    urls.filter(|url| url.starts_with("http")).map(str::to_owned).collect()
}

/// What Chromium asks its maker whatever it shows.
fn is_browsers_own(url: &str) -> bool {
    let host = url.split('/').nth(2).unwrap_or_default();
    [".google.com", ".googleapis.com", ".gvt1.com", ".gstatic.com"].iter().any(|own| host.ends_with(own))
        || host == "google.com"
}

/// Looks at every pair of words of a plot, and whether they lie within it; those that are turned have boxes larger than themselves.
const LOOK: &str = r#"<pre id="found"></pre><script>
const found = [];
for (const plot of document.querySelectorAll('svg')) {
  const all = plot.getBoundingClientRect();
  const words = [...plot.querySelectorAll('text')].map(of => ({ of, box: of.getBoundingClientRect() }));
  for (const { of, box } of words)
    if (box.left < all.left - 1 || box.right > all.right + 1 || box.top < all.top - 1 || box.bottom > all.bottom + 1)
      found.push('cut: ' + of.textContent);
  const level = words.filter(({ of }) => !of.hasAttribute('transform'));
  level.forEach((one, i) => level.slice(i + 1).forEach(other => {
    const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
    const high = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
    if (wide > 1 && high > 3) found.push('overlap: ' + one.of.textContent + ' | ' + other.of.textContent);
  }));
}
document.getElementById('found').textContent = 'looked: ' + found.length + '\n' + found.join('\n') + '\nend';
</script>"#;

#[test]
fn no_words_of_a_plot_overlap_or_are_cut() {
    let Some(browser) = browser_or_skip() else { return };
    let directory = tempfile::tempdir().unwrap();
    let page = driftkv_lab::report::html(&demo::report());
    let (before, after) = page.split_once("<meta http-equiv").unwrap();
    let page = format!("{before}{}", after.split_once('>').unwrap().1).replace("</body>", &format!("{LOOK}</body>"));
    let path = directory.path().join("look.html");
    std::fs::write(&path, page).unwrap();
    let profile = directory.path().join("profile");
    std::fs::create_dir(&profile).unwrap();
    let Output { stdout, stderr, .. } = load(&browser, &profile, &path);
    let dom = String::from_utf8_lossy(&stdout);
    let found = dom.split_once("looked: ").unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&stderr))).1;
    assert!(found.starts_with("0\n"), "{}", found.split("\nend").next().unwrap());
}
