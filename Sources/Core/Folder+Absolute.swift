import Glibc

extension Folder {
  /// The path from the root, links and dots resolved; `path` itself when nothing stands there.
  package static func absolute(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
