//! Files that people name, read into memory.
//! Invariant: never more than allowed and one byte, whatever the file is: a device or a pipe has no size and may have no end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use crate::error::Failure;

/// Stands for stdin.
pub const STDIN: &str = "-";

/// The content of `file`, which may be [`STDIN`]. Errors: it cannot be read, or has more than `bytes_max`.
pub fn bytes(file: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    if is_stdin(file) {
        return read(std::io::stdin().lock(), name(file), bytes_max);
    }
    read(File::open(file).map_err(|error| Failure::io(file, &error))?, file, bytes_max)
}

/// The same, which must be text.
pub fn text(file: &Path, bytes_max: usize) -> Result<String, Failure> {
    let not_text = |_| Failure::io(name(file), &Error::from(ErrorKind::InvalidData));
    String::from_utf8(bytes(file, bytes_max)?).map_err(not_text)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new(STDIN)
}

fn name(file: &Path) -> &Path {
    if is_stdin(file) { Path::new("stdin") } else { file }
}

fn read(from: impl Read, name: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let limit = (bytes_max as u64).saturating_add(1);
    from.take(limit).read_to_end(&mut content).map_err(|error| Failure::io(name, &error))?;
    if content.len() > bytes_max {
        return Err(Failure::usage(format!(
            "{} has more than {bytes_max} bytes, the most that are read",
            name.display()
        )));
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::path::Path;

    use super::{read, text};

    #[test]
    fn what_has_no_end_is_refused_after_the_last_byte_that_is_allowed() {
        let mut endless = std::io::repeat(b'x').take(1_000);
        let refused = read(&mut endless, Path::new("x"), 100).unwrap_err();
        assert_eq!(endless.limit(), 1_000 - 101);
        assert_eq!(refused.message, "x has more than 100 bytes, the most that are read");
        assert!(
            text(Path::new("/dev/zero"), 1 << 16).unwrap_err().message.contains("/dev/zero has more than 65536 bytes")
        );
    }

    #[test]
    fn a_file_of_just_the_size_is_read() {
        assert_eq!(read(&b"abc"[..], Path::new("x"), 3).unwrap(), b"abc");
        assert!(read(&b"abcd"[..], Path::new("x"), 3).is_err());
    }
}
