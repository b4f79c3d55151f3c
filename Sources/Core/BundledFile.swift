import CFormats
import Glibc

/// The data files of `formats/`: compiled in, or read from the folder that `TINCTURE_FORMATS` names.
package struct BundledFile: Sendable {
  /// Path below `formats/`, e.g. `recipes/q4_k_m.json5`.
  package let name: String
  package let bytes: [UInt8]

  /// Where it was read, for errors: below `TINCTURE_FORMATS` when that is set, else `formats/…`, the place in the
  /// sources of the file compiled in.
  package var path: String { Folder.join(BundledFile.override ?? "formats", name) }

  /// The same for a file of which only the name is known.
  package static func path(_ name: String) -> String {
    Folder.join(override ?? "formats", name)
  }

  /// Files whose name starts with `folder/`, sorted by name.
  ///
  /// - Throws: `file.read` when `TINCTURE_FORMATS` names a folder that cannot be read.
  package static func all(in folder: String) throws(TinctureError) -> [BundledFile] {
    if let root = override {
      let path = Folder.join(root, folder)
      var files: [BundledFile] = []
      for name in try Folder.names(path) where name.hasSuffix(".json5") {
        let file = try InputFile(path: Folder.join(path, name))
        files.append(
          BundledFile(name: folder + "/" + name, bytes: try file.contents(limit: 1 << 20)))
      }
      return files
    }
    var files: [BundledFile] = []
    guard let table = tf_files() else { return [] }
    for index in 0..<tf_file_count() {
      let entry = table[index]
      guard let cName = entry.name else { continue }
      let name = String(cString: cName)
      guard name.hasPrefix(folder + "/") else { continue }
      files.append(
        BundledFile(
          name: name,
          bytes: [UInt8](UnsafeBufferPointer(start: entry.bytes, count: entry.byte_count))))
    }
    return files.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  private static let override: String? = {
    guard let value = getenv("TINCTURE_FORMATS"), value.pointee != 0 else { return nil }
    return String(cString: value)
  }()
}
